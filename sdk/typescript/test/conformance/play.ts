/** Plays a scenario against a real server and a real worker process. */

import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Client, StartOptions } from "../../src/client.js";
import { ApiError, Unreachable } from "../../src/errors.js";
import type { JournalRecord, RunDetail } from "../../src/protocol/rest.js";
import { kill, Place, Server, until } from "../e2e/processes.js";
import type { Action, Scenario } from "./scenario.js";
import { Wiretap } from "./wiretap.js";

const ENDED = ["completed", "failed", "cancelled", "blocked"];

/** A scenario while it is played, and what there is to see afterwards. */
export class Play {
  readonly place = new Place();
  private readonly server = new Server(this.place);
  readonly wiretap = new Wiretap(() => this.client.address.url);
  private worker: { process: ChildProcess; build: string } | undefined;
  private isStopped = false;
  private faultsDone = 0;
  client!: Client;
  runId = "";
  session: string | undefined;

  constructor(
    private readonly scenario: Scenario,
    private readonly file: string,
  ) {}

  async run(): Promise<RunDetail> {
    this.client = await this.server.start();
    await this.wiretap.start();
    const [build] = Object.keys(this.scenario.programs);
    if (build === undefined) throw new Error("the scenario has no program");
    this.startWorker(build);
    const faults = this.watchFaults();
    try {
      await this.startRun();
      for (const action of this.scenario.script ?? []) await this.act(action);
      await this.until(async () => ENDED.includes((await this.detail()).state), "the end");
    } finally {
      this.isStopped = true;
      await faults;
    }
    if (this.faultsDone !== (this.scenario.faults ?? []).length) {
      throw new Error(`only ${this.faultsDone} of the scenario's faults happened`);
    }
    return this.detail();
  }

  async dispose(): Promise<void> {
    this.wiretap.stop();
    await this.place.dispose();
  }

  detail(): Promise<RunDetail> {
    return this.client.get(this.runId);
  }

  /** Waits until something is so; while the server is being killed, nothing is. */
  private until(holds: () => Promise<boolean>, what: string): Promise<void> {
    const reached = async () => {
      try {
        return await holds();
      } catch (error) {
        if (error instanceof Unreachable) return false;
        throw error;
      }
    };
    return until(reached, what, 60_000);
  }

  private startWorker(build: string): void {
    const process = this.server.worker("conformance", {
      SCENARIO: this.file,
      PLACE: this.place.path,
      POLOS_BUILD_ID: build,
      POLOS_URL: this.wiretap.url,
      POLOS_TOKEN: readFileSync(`${this.server.directory}/token`, "utf8").trim(),
    });
    const worker = { process, build };
    this.worker = worker;
    process.once("exit", () => {
      // A worker process that dies is started again with the build it had.
      if (this.worker === worker && !this.isStopped) this.startWorker(build);
    });
  }

  private async stopWorker(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    if (worker) await kill(worker.process);
  }

  private async startRun(): Promise<void> {
    const { input = null, key, options = {} } = this.scenario;
    if (options.session) {
      this.session = (await this.client.createSession()).id;
    }
    const start = startOptions({ ...options, session: this.session });
    const keyed = key === undefined ? start : { ...start, key };
    this.runId = (await this.client.start("main", input, keyed)).id;
  }

  /** Does what the worker has come to a point for. */
  private async watchFaults(): Promise<void> {
    const faults = this.scenario.faults ?? [];
    const done = new Set<number>();
    while (!this.isStopped || done.size < this.countAsked()) {
      for (const [number, fault] of faults.entries()) {
        const file = this.place.file(`fault-${number}`);
        if (done.has(number) || !existsSync(`${file}.asked`)) continue;
        if (fault.do === "kill_server") await this.restartServer();
        if (fault.do === "drop_connection") this.wiretap.drop();
        if (fault.do === "deploy") await this.deploy(fault.build ?? "");
        writeFileSync(`${file}.done`, "");
        done.add(number);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.faultsDone = done.size;
  }

  private countAsked(): number {
    const faults = this.scenario.faults ?? [];
    return faults.filter((_, n) => existsSync(this.place.file(`fault-${n}.asked`))).length;
  }

  private async restartServer(): Promise<void> {
    await this.server.kill();
    this.client = await this.server.start();
  }

  private async deploy(build: string): Promise<void> {
    await this.stopWorker();
    this.startWorker(build);
  }

  private async act(action: Action): Promise<void> {
    for (const [word, said] of Object.entries(action)) {
      const act = ACTIONS[word];
      if (!act) throw new Error(`this harness does not know the action \`${word}\``);
      await act.call(this, said as never);
    }
  }

  static readonly actions = {
    async until(this: Play, said: { [word: string]: unknown }) {
      await this.until(() => this.holds(said), `until ${JSON.stringify(said)}`);
    },
    async answer(this: Play, said: { key: string; approved?: boolean; [field: string]: unknown }) {
      const { key, approved = true, value, feedback, scope } = said;
      const open = await this.openApproval(key);
      await this.client.decide(open, {
        approved,
        ...(value === undefined ? {} : { value }),
        ...(feedback === undefined ? {} : { feedback: feedback as string }),
        ...(scope === undefined ? {} : { scope: scope as "once" }),
      });
    },
    async publish(this: Play, said: { topic: string; payload?: unknown; key?: string }) {
      await this.client.publish(
        said.topic,
        said.payload,
        said.key === undefined ? {} : { key: said.key },
      );
    },
    async signal(this: Play, said: { topic: string; payload?: unknown; key?: string }) {
      await this.client.publish(said.topic, said.payload, { run: this.runId });
    },
    async cancel(this: Play, said: { reason?: string }) {
      await this.client.cancel(this.runId, said.reason);
    },
    async kill(this: Play, said: { reason?: string }) {
      await this.client.kill(this.runId, said.reason);
    },
    async resume(this: Play, said: { accept?: boolean; any_build?: boolean }) {
      const { accept = false, any_build: anyBuild = false } = said;
      await this.client.resume(this.runId, { accept, anyBuild });
    },
    async retry(this: Play, said: { step?: string; again?: string[]; new_keys?: boolean }) {
      const { step, again, new_keys } = said;
      await this.client.retry(this.runId, {
        ...(step === undefined ? {} : { step }),
        ...(again ? { again } : {}),
        ...(new_keys ? { newKeys: true } : {}),
      });
    },
    async settle(this: Play, said: { step: string; done?: unknown; not_done?: boolean }) {
      const outcome = said.not_done ? { notDone: true as const } : { done: said.done };
      await this.client.settle(this.runId, said.step, outcome);
    },
    async deploy(this: Play, build: string) {
      await this.deploy(build);
    },
    async stop_worker(this: Play, _said: true) {
      await this.stopWorker();
    },
    async start_worker(this: Play, build: string) {
      this.startWorker(build);
    },
    async kill_server(this: Play, _said: true) {
      await this.restartServer();
    },
    async start_again(this: Play, said: { input?: unknown; conflict?: boolean }) {
      const { input = this.scenario.input ?? null, conflict = false } = said;
      await this.startAgain(input, conflict);
    },
  };

  private async holds(said: { [word: string]: unknown }): Promise<boolean> {
    for (const [word, wanted] of Object.entries(said)) {
      if (word === "state") {
        if ((await this.detail()).state !== wanted) return false;
      } else if (word === "record") {
        const [kind, key] = wanted as [string, string];
        const records = await this.journal();
        if (!records.some(({ record }) => record.kind === kind && record.key === key)) return false;
      } else if (word === "effect") {
        const lines = this.place.lines("effects");
        if (!lines.some((line) => (JSON.parse(line) as { key: string }).key === wanted)) {
          return false;
        }
      } else {
        throw new Error(`this harness does not know how to wait for \`${word}\``);
      }
    }
    return true;
  }

  /** The approval that is open under a key, once there is one. */
  private async openApproval(key: string): Promise<string> {
    let id = "";
    await until(async () => {
      const { items } = await this.client.approvals({ run: this.runId, state: "pending" });
      id = items.find((approval) => approval.key === key)?.id ?? "";
      return id !== "";
    }, `an open approval \`${key}\``);
    return id;
  }

  private async startAgain(input: unknown, conflict: boolean): Promise<void> {
    const key = this.scenario.key ?? "";
    const again = await this.client.start("main", input, { key }).catch((error: unknown) => error);
    if (conflict) {
      if (again instanceof ApiError && again.code === "start_key_conflict") return;
      throw new Error(`the second start was not refused: ${JSON.stringify(again)}`);
    }
    if (again instanceof Error) throw again;
    if ((again as { id: string }).id !== this.runId) throw new Error("it is another run");
  }

  /** The whole journal without what a retry took back. */
  async journal(): Promise<JournalRecord[]> {
    const records: JournalRecord[] = [];
    let after: number | undefined = 0;
    while (after !== undefined) {
      const page = await this.client.journal(this.runId, after, 500);
      records.push(
        ...page.records.filter((entry) => !entry.superseded).map(({ record }) => record),
      );
      after = page.next_after;
    }
    return records;
  }
}

const ACTIONS: { [word: string]: ((this: Play, said: never) => Promise<void>) | undefined } =
  Play.actions;

/** The start's options, from the wire's form of them. */
function startOptions(options: { [option: string]: unknown }): StartOptions {
  const names: { [wire: string]: keyof StartOptions } = {
    queue: "queue",
    concurrency_key: "concurrencyKey",
    priority: "priority",
    labels: "labels",
    timeout_ms: "timeout",
    session: "session",
    pin: "pin",
  };
  const start: { [name: string]: unknown } = {};
  for (const [wire, value] of Object.entries(options)) {
    const name = names[wire];
    if (!name) throw new Error(`this harness does not know the option \`${wire}\``);
    if (value !== undefined) start[name] = value;
  }
  return start;
}
