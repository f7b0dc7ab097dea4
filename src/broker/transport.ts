/**
 * One byte stream as a connection sees it: TCP, WebSocket, or any Duplex handed to `broker.handle`. Listeners build transports,
 * the connection consumes them; neither knows the other's insides.
 */
export interface Transport {
  /** Who is at the other end, for logs and hooks: `127.0.0.1:50312`. */
  readonly remote: string
  /** What Aedes and its hook users know as `client.conn`: the socket or stream itself. */
  readonly stream: unknown
  /** The HTTP upgrade request of a WebSocket, else undefined: Aedes hands it to hooks as `client.req`. */
  readonly request: unknown
  /** Bytes written and not yet taken by the kernel. */
  readonly pendingBytes: number
  /**
   * Sends `bytes`. True when they have left memory for good and the buffer may be used again at once; false when the transport keeps
   * (a reference to) them until `drained` is called.
   */
  write(bytes: Buffer): boolean
  /** Stops and resumes reading, for back-pressure on a publisher. */
  pause(): void
  resume(): void
  /** Sends what is pending, then closes. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

/** What a transport calls. Set once, right after the transport was made. */
export interface TransportHandler {
  /** No whole CONNECT has come yet: nobody knows who this is, and little is kept for it. */
  readonly beforeConnect?: boolean
  /** Bytes `start` ≤ i < `end` of `chunk` arrived. The buffer is valid during this call only: copy whatever outlives it. */
  data(chunk: Buffer, start: number, end: number): void
  /** All that `write` kept has left. */
  drained(): void
  /** The stream is gone; called exactly once. `error` is undefined when the other side closed it in order. */
  ended(error: Error | undefined): void
}

/** A listener gives each new transport to this and gets the handler to call. */
export type Accept = (transport: Transport) => TransportHandler
