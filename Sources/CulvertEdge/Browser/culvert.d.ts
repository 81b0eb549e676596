/**
 * A WebSocket that gets through where WebSockets are blocked, and that outlives the connections which carry it.
 * Culvert's docs/client.md tells what it promises.
 */

/** `"websocket"` and `"polling"` carry a resumable session; `"plain"` is the browser's own WebSocket. */
export type CulvertLane = "websocket" | "polling" | "plain";
export type CulvertTransport = "websocket" | "polling";
export type CulvertToken = string | (() => string | Promise<string>);

export interface CulvertOptions {
  /** What may be used, in this order. Both, the WebSocket first, unless said. */
  transports?: readonly CulvertTransport[];
  /** Whether the session outlives its connections. True unless said. */
  resume?: boolean;
  /** Milliseconds that a transport has to open, the last one excepted, and a lane to answer. 4000 unless said. */
  timeout?: number;
  /** Milliseconds for which it is remembered what worked. 600000 unless said; 0 for never. */
  remember?: number;
  /** Bytes that may wait while there is no network; past it the socket closes. 16777216 unless said. */
  maxBuffered?: number;
  /** A token, or what gives one. A function is called for each connection and before its last token expires. */
  token?: CulvertToken | null;
  /** Where the token is said: as a header or a subprotocol, or, for who asks for it, in URLs. */
  tokenIn?: "header" | "query";
  /** Takes the place of the browser's own. */
  WebSocket?: new (url: string, protocols?: string[]) => WebSocket;
  /** Takes the place of the browser's own. */
  fetch?: typeof globalThis.fetch;
}

/** What a socket does at the moment. */
export interface CulvertDiagnostics {
  /** Identifies the session in requests: a secret, as its token is. Null before there is one. */
  readonly session: string | null;
  readonly lane: CulvertLane | null;
  /** Messages that were given to `send`; they are not counted on a plain WebSocket, nor are the next two. */
  readonly sent: number;
  /** Of those, the ones that the edge has taken. */
  readonly acked: number;
  /** Messages that have come. */
  readonly received: number;
  /** How often a lane was lost. */
  readonly reconnects: number;
  /** Milliseconds that the last question or request took. */
  readonly latency: number | null;
  /** Drops the lane as a failure of the network would. */
  cut(): void;
}

export interface CulvertSocketEventMap extends WebSocketEventMap {
  /** Another lane, or none; `reason` says why the one before was lost. */
  lane: CustomEvent<{ readonly lane: CulvertLane | null; readonly reason: string }>;
}

export declare class CulvertSocket extends WebSocket {
  /** The browser's own class, also when this one has taken its place. */
  static readonly native: typeof WebSocket;
  /** The options of every socket that has no others. */
  static defaults: CulvertOptions;
  /** A class whose sockets have these options: `globalThis.WebSocket = CulvertSocket.with({ token })`. */
  static with(options: CulvertOptions): typeof CulvertSocket;

  constructor(url: string | URL, protocols?: string | Iterable<string>, options?: CulvertOptions);

  readonly culvert: CulvertDiagnostics;

  addEventListener<K extends keyof CulvertSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: CulvertSocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof CulvertSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: CulvertSocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

export default CulvertSocket;
