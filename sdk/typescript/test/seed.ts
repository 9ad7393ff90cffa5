/** One seed for all property tests; POLOS_SEED takes another, POLOS_CASES more of them. */

import fc from "fast-check";

fc.configureGlobal({
  seed: Number(process.env.POLOS_SEED ?? 20_260_101),
  numRuns: Number(process.env.POLOS_CASES ?? 100),
});
