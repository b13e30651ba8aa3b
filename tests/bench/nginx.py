"""
The reference server: nginx as a plaintext file server on the same machine.
"""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers.processes import free_port, running

NGINX = """\
daemon off;
user {user};
worker_processes auto;
error_log {root}/error.log;
pid {root}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  sendfile on;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      root {root}/files;
      dav_methods PUT DELETE;
    }}
  }}
}}
"""


@contextmanager
def nginx(root: Path) -> Iterator[int]:
    """
    Run nginx with DAV PUT and GET, without encryption and accounts.
    """
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    (root / "files").mkdir(parents=True)
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, port=port, user=getpass.getuser()))
    with running([program, "-c", str(config), "-p", str(root)], port, root / "out.log"):
        yield port
