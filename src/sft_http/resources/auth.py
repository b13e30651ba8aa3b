"""
Accounts: registration, sign-in, the second factor.
"""

from __future__ import annotations

import base64

from falcon.asgi import Request, Response

from sft_core.errors import BadTotpCode
from sft_http import openapi, schemas
from sft_http.errors import InvalidTotpCode
from sft_http.openapi import Operation
from sft_http.resources.base import Resource
from sft_http.resources.parameters import origin


class Register(Resource):
    """
    POST /auth/register.
    """

    @Operation(
        "Create an account",
        "201 User",
        "400 408 413 415 422 503",
        body="Registration",
        tag=openapi.SIGN_IN,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Registration)
        user = await self.pools.hashing(
            self.application.users.register_user,
            email=body.email,
            username=body.username,
            password=body.password,
        )
        resp.status = 201
        resp.media = schemas.user_json(user)


class Login(Resource):
    """
    POST /auth/login.
    """

    @Operation("Sign in", "200 Tokens", f"429 {openapi.BODY}", body="Login", tag=openapi.SIGN_IN)
    async def on_post(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Login)
        tokens = await self.pools.hashing(
            self.application.users.sign_in,
            email=body.email,
            password=body.password,
            totp_code=body.totp_code,
            origin=origin(req),
        )
        resp.media = schemas.tokens_json(tokens)


class Refresh(Resource):
    """
    POST /auth/refresh.
    """

    @Operation("Exchange a refresh token", "200 Tokens", openapi.BODY, body="Refresh", tag=openapi.SIGN_IN)
    async def on_post(self, req: Request, resp: Response) -> None:
        body = await self.body(req, schemas.Refresh)
        tokens = await self.pools.database(self.application.users.refresh_session, refresh_token=body.refresh_token)
        resp.media = schemas.tokens_json(tokens)


class Me(Resource):
    """
    GET and HEAD /auth/me.
    """

    @Operation("The caller's account", "200 User", openapi.LOGIN, tag=openapi.ACCOUNT, head="Its headers")
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.media = schemas.user_json(await self.caller(req))

    on_head = on_get


class TotpSetup(Resource):
    """
    POST /auth/2fa/setup.
    """

    @Operation("Begin a two-factor set-up", "200 TotpEnrolment", f"400 409 {openapi.LOGIN}", tag=openapi.ACCOUNT)
    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        enrolment = await self.pools.hashing(self.application.users.set_up_totp, user=user)
        image = base64.b64encode(enrolment.qr_png.reveal()).decode()
        resp.media = {
            "secret": enrolment.seed.reveal().decode(),
            "qr_code": f"data:image/png;base64,{image}",
        }


class TotpVerify(Resource):
    """
    POST /auth/2fa/verify.
    """

    @Operation("Confirm the set-up", "200 Message", openapi.ONE_TIME_CODE, body="TotpCode", tag=openapi.ACCOUNT)
    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        body = await self.body(req, schemas.TotpCode)
        try:
            await self.pools.database(self.application.users.confirm_totp, user=user, code=body.totp_code)
        except BadTotpCode:
            raise InvalidTotpCode from None
        resp.media = {"message": "2FA enabled successfully"}


class TotpDisable(Resource):
    """
    DELETE /auth/2fa/disable, or POST for clients that send no body with DELETE.
    """

    @Operation("Switch it off", "200 Message", openapi.ONE_TIME_CODE, body="TotpCode", tag=openapi.ACCOUNT)
    async def on_delete(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        body = await self.body(req, schemas.TotpCode)
        try:
            await self.pools.database(self.application.users.disable_totp, user=user, code=body.totp_code)
        except BadTotpCode:
            raise InvalidTotpCode from None
        resp.media = {"message": "2FA disabled successfully"}

    on_post = on_delete
