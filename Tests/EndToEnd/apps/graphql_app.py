"""A GraphQL server (Strawberry on aiohttp): `python graphql_app.py PORT`."""

import asyncio
import sys
from collections.abc import AsyncGenerator

import strawberry
from aiohttp import web
from strawberry.aiohttp.views import GraphQLView


@strawberry.type
class Query:
    @strawberry.field
    def shout(self, text: str) -> str:
        return text.upper()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for n in range(to):
            yield n
            await asyncio.sleep(0)

    @strawberry.subscription
    async def forever(self) -> AsyncGenerator[str, None]:
        yield "begun"
        await asyncio.Event().wait()


app = web.Application()
app.router.add_route("*", "/graphql", GraphQLView(
    schema=strawberry.Schema(query=Query, subscription=Subscription), allowed_origins=["https://app.example.com"]))
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
