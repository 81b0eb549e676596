"""The admin API as an operator's script uses it: httpx and the token in its file."""

import httpx


class Admin(httpx.Client):
    def __init__(self, edge, **options):
        secret = (edge.folder / "culvert.admin-token").read_text().strip()
        super().__init__(
            base_url=f"http://127.0.0.1:{edge.admin_port}", timeout=20,
            headers={"Authorization": f"Bearer {secret}"}, **options)

    def mint(self, subject="dora", routes=("/",), headers=None, **fields):
        answer = self.post("/v1/tokens", json={"subject": subject, "routes": list(routes), **fields}, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def rotate(self, token, overlap="24h", **options):
        answer = self.post(f"/v1/tokens/{token['id']}/rotate", json={"overlap": overlap}, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def revoke(self, token, **options):
        answer = self.post(f"/v1/tokens/{token['id']}/revoke", **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sessions(self, **filters):
        return self.get("/v1/sessions", params=filters).json()["items"]

    def upstream_sessions(self, name="echo"):
        """How many sessions count at the servers of the upstream: until the connection to the server is gone."""
        return sum(server["sessions"] for server in self.get(f"/v1/upstreams/{name}").json()["servers"])


def bearer(token):
    return {"Authorization": f"Bearer {token['secret']}"}


def memory(edge):
    """`/v1/memory`: `used`, `ceiling`, `closed`."""
    with Admin(edge) as admin:
        answer = admin.get("/v1/memory")
        assert answer.status_code == 200, answer.text
        return answer.json()


def used(edge):
    """Bytes that the edge counts."""
    return memory(edge)["used"]
