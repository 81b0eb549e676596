export declare class CulvertSocket extends WebSocket {}
export default CulvertSocket;
