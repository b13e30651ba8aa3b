"""
Accounts: registration, sign-in, the second factor.
"""

from __future__ import annotations

import base64

from falcon.asgi import Request, Response

from sft_core.errors import BadTotpCode
from sft_core.users.use_cases import ConfirmTotp, DisableTotp
from sft_http import openapi, schemas
from sft_http.errors import InvalidTotpCode
from sft_http.resources.base import Resource
from sft_http.resources.parameters import origin


class AuthResource(Resource):
    """
    /auth: each responder has the last step of its path as its suffix.
    """

    @openapi.Operation(
        "Create an account",
        "201 User",
        "400 408 413 415 422 503",
        body="Registration",
        tag=openapi.SIGN_IN,
    )
    async def on_post_register(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Registration)
        user = await self.pools.hashing(
            self.application.users.register_user,
            email=body.email,
            username=body.username,
            password=body.password,
        )
        resp.status = 201
        resp.media = schemas.user_json(user)

    @openapi.Operation("Sign in", "200 Tokens", f"429 {openapi.BODY}", body="Login", tag=openapi.SIGN_IN)
    async def on_post_login(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Login)
        tokens = await self.pools.hashing(
            self.application.users.sign_in,
            email=body.email,
            password=body.password,
            totp_code=body.totp_code,
            origin=origin(req),
        )
        resp.media = schemas.tokens_json(tokens)

    @openapi.Operation("Exchange a refresh token", "200 Tokens", openapi.BODY, body="Refresh", tag=openapi.SIGN_IN)
    async def on_post_refresh(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Refresh)
        tokens = await self.pools.database(self.application.users.refresh_session, refresh_token=body.refresh_token)
        resp.media = schemas.tokens_json(tokens)

    @openapi.Operation("The caller's account", "200 User", openapi.LOGIN, tag=openapi.ACCOUNT, head="Its headers")
    async def on_get_me(self, req: Request, resp: Response) -> None:
        resp.media = schemas.user_json(await self.caller(req))

    on_head_me = on_get_me

    @openapi.Operation(
        "Begin a two-factor set-up", "200 TotpEnrolment", f"400 409 {openapi.LOGIN}", tag=openapi.ACCOUNT
    )
    async def on_post_setup(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        enrolment = await self.pools.hashing(self.application.users.set_up_totp, user=user)
        image = base64.b64encode(enrolment.qr_png.reveal()).decode()
        resp.media = {
            "secret": enrolment.seed.reveal().decode(),
            "qr_code": f"data:image/png;base64,{image}",
        }

    @openapi.Operation("Confirm the set-up", "200 Message", openapi.ONE_TIME_CODE, body="TotpCode", tag=openapi.ACCOUNT)
    async def on_post_verify(self, req: Request, resp: Response) -> None:
        await self._use_totp_code(req, self.application.users.confirm_totp)
        resp.media = {"message": "2FA enabled successfully"}

    @openapi.Operation("Switch it off", "200 Message", openapi.ONE_TIME_CODE, body="TotpCode", tag=openapi.ACCOUNT)
    async def on_delete_disable(self, req: Request, resp: Response) -> None:
        await self._use_totp_code(req, self.application.users.disable_totp)
        resp.media = {"message": "2FA disabled successfully"}

    on_post_disable = on_delete_disable
    """For clients that send no body with DELETE."""

    async def _use_totp_code(self, req: Request, use_case: ConfirmTotp | DisableTotp) -> None:
        user = await self.caller(req)
        body = await self.body(req, schemas.TotpCode)
        try:
            await self.pools.database(use_case, user=user, code=body.totp_code)
        except BadTotpCode:
            raise InvalidTotpCode from None
