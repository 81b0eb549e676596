// Stands in until the client is here.
class CulvertSocket extends WebSocket {}

export { CulvertSocket, CulvertSocket as default };
