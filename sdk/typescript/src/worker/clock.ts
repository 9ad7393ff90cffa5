/**
 * The server's time by this machine's monotonic clock, and the lease: memory that the connection's
 * thread and the program's own share.
 */

const OFFSET = 0;
const LEASE_END = 1;
const LOST = 2;
const CELLS = 3;

/** Milliseconds of a clock that all threads of the process share and nobody sets. */
function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return Math.trunc(seconds * 1000 + nanoseconds / 1e6);
}

/** Shared by the connection and the runs. */
export class Clock {
  private readonly cells: BigInt64Array;

  constructor(readonly memory: SharedArrayBuffer = new SharedArrayBuffer(CELLS * 8)) {
    this.cells = new BigInt64Array(memory);
  }

  private read(cell: number): number {
    return Number(Atomics.load(this.cells, cell));
  }

  private write(cell: number, value: number): void {
    Atomics.store(this.cells, cell, BigInt(Math.trunc(value)));
  }

  /** The server's time; before the first `welcome` this machine's. */
  now(): number {
    const offset = this.read(OFFSET);
    return offset === 0 ? Date.now() : offset + monotonicMs();
  }

  /** The server has said what time it is. */
  set(serverMs: number): void {
    this.write(OFFSET, serverMs - monotonicMs());
  }

  /** The server's time is surely not before this. */
  atLeast(serverMs: number): void {
    if (serverMs > this.now()) this.set(serverMs);
  }

  /** The server has been heard. */
  heard(leaseMs: number): void {
    this.write(LEASE_END, monotonicMs() + leaseMs);
  }

  /** `welcome` has come: the lease begins anew. */
  welcomed(leaseMs: number): void {
    this.heard(leaseMs);
    this.write(LOST, 0);
  }

  /** True while effects may begin. Once lost, only a `welcome` brings it back. */
  isLeased(): boolean {
    if (this.leaseLeftMs() <= 0) this.write(LOST, 1);
    return this.read(LOST) === 0;
  }

  /** How long the lease still lasts. */
  leaseLeftMs(): number {
    return this.read(LEASE_END) - monotonicMs();
  }
}
