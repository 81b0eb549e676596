/** Stands in until the client is here. */
export declare class CulvertSocket extends WebSocket {}
export default CulvertSocket;
