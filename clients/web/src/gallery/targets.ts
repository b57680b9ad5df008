// The ports that a result can be sent to, the likeliest first. It sends nothing.

import type { Port, Signature } from "../api/types";
import { fits } from "../forms/fits";
import { pluginOf } from "../jobs/Palette";

export interface Target {
  signature: Signature;
  port: Port;
}

/** Return the ports that take a type: those of the plugin that made the result first, and exact types before others. */
export function targetsOf(signatures: readonly Signature[], type: string, madeBy: string): Target[] {
  const maker = pluginOf({ name: madeBy });
  const rank = ({ signature, port }: Target) =>
    (pluginOf(signature) === maker ? 0 : 2) + (port.type === type ? 0 : 1);
  return signatures
    .flatMap((signature) =>
      signature.inputs.filter((port) => fits(type, port.type)).map((port) => ({ signature, port })),
    )
    .sort((a, b) => rank(a) - rank(b));
}
