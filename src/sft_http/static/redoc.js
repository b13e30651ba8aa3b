Redoc.init("/openapi.json", { disableSearch: true, hideHostname: true }, document.getElementById("page"));
