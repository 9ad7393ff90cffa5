/** Which runs wait for which value: the connection's frames name values by hash only. */
export class Askers {
  /** True once the first piece came after the run had asked: what comes now is the whole. */
  private readonly fetching = new Map<string, Map<string, boolean>>();
  private readonly storing = new Map<string, Set<string>>();

  /** A run asks for a value. */
  fetch(hash: string, run: string): void {
    const askers = this.fetching.get(hash) ?? new Map<string, boolean>();
    this.fetching.set(hash, askers.set(run, false));
  }

  /** A run sends a value, or a piece of one. */
  store(hash: string, run: string): void {
    const runs = this.storing.get(hash) ?? new Set<string>();
    this.storing.set(hash, runs.add(run));
  }

  /** Who is to have a piece. Who asked while a value was under way waits for its own answer. */
  piece(hash: string, place: { isFirst: boolean; isLast: boolean }): string[] {
    const askers = this.fetching.get(hash);
    if (!askers) return [];
    if (place.isFirst) for (const run of askers.keys()) askers.set(run, true);
    const runs = [...askers].filter(([, begun]) => begun).map(([run]) => run);
    if (place.isLast) for (const run of runs) askers.delete(run);
    if (askers.size === 0) this.fetching.delete(hash);
    return runs;
  }

  /** Who waits to hear that a value is kept. */
  kept(hash: string): string[] {
    const runs = [...(this.storing.get(hash) ?? [])];
    this.storing.delete(hash);
    return runs;
  }
}
