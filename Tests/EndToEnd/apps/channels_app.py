"""A chat of Django Channels, whose rooms are paths: `daphne --proxy-headers channels_app:application`."""

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings

settings.configure(
    SECRET_KEY="of no use", ALLOWED_HOSTS=["app.example.com", "localhost"], ROOT_URLCONF=[],
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"), INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import re_path  # noqa: E402


class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept("chat.v2" if "chat.v2" in self.scope["subprotocols"] else None)

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)
        await self.channel_layer.group_send(self.room, {"type": "said", "text": f"left with {code}"})

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "who am I":
            headers = {name.decode(): value.decode() for name, value in self.scope["headers"]}
            user, host = headers.get("x-forwarded-user"), headers["host"]
            await self.send(f"{user} of {self.scope['client'][0]} at {host}")
        elif text_data == "end":
            await self.close(4123)
        else:
            await self.channel_layer.group_send(self.room, {"type": "said", "text": text_data, "bytes": bytes_data})

    async def said(self, event):
        await self.send(event.get("text"), event.get("bytes"))


application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": AllowedHostsOriginValidator(URLRouter([re_path(r"^ws/chat/(?P<room>\w+)/$", Chat.as_asgi())])),
})
