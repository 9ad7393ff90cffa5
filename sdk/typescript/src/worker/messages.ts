/** What the program's thread and the connection's thread say to each other. */

import type { Hello, Wait, Welcome } from "../protocol/frames.js";

/** What the connection's thread is made with. */
export interface ConnectionOptions {
  url: string;
  token: string;
  /** All that hello says but what changes from connection to connection. */
  hello: Hello;
  /** The clock's shared memory. */
  clock: SharedArrayBuffer;
}

/** To the connection. */
export type ToConnection =
  /** Frames as text, meant for the connection of this number only. */
  | { type: "send"; connection: number; texts: string[] }
  /** A run is held; its cell says up to where its journal is known. */
  | { type: "hold"; run: string; assignment: number; seq: Int32Array }
  | { type: "drop"; run: string; assignment: number }
  /** What a held run waits for, having taken in so many `append` frames; none if it does not. */
  | { type: "waits"; run: string; assignment: number; taken: number; wait: Wait | undefined }
  /** No new runs, on this connection and later ones. */
  | { type: "drain" }
  | { type: "stop" };

/** From the connection. */
export type FromConnection =
  | { type: "welcome"; connection: number; welcome: Welcome }
  /** Frames as text, in order. */
  | { type: "frames"; texts: string[] }
  | { type: "detached"; why: string }
  | { type: "lease_lost" }
  /** Trying again cannot help. */
  | { type: "fatal"; code: string; message: string }
  /** The thread has nothing left to do. */
  | { type: "stopped" };
