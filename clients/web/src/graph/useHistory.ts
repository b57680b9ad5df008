// Undo and redo for the canvas: former states, one for each thing that a person did.

import { useState } from "react";

const KEPT = 100;

interface Past<State> {
  past: State[];
  future: State[];
  /** What the last change was, if more of the same belongs to it: letters typed into one knob. */
  tag?: string;
}

export function useHistory<State>(restore: (state: State) => void) {
  const [{ past, future, tag }, setHistory] = useState<Past<State>>({ past: [], future: [] });

  return {
    /** Remember the state before a change; one with the tag of the change before it belongs to that one. */
    remember: (now: State, what?: string) => {
      if (what !== undefined && what === tag) return;
      setHistory({ past: [...past.slice(1 - KEPT), now], future: [], tag: what });
    },
    undo: (now: State) => {
      const before = past.at(-1);
      if (before === undefined) return;
      setHistory({ past: past.slice(0, -1), future: [...future, now] });
      restore(before);
    },
    redo: (now: State) => {
      const after = future.at(-1);
      if (after === undefined) return;
      setHistory({ past: [...past, now], future: future.slice(0, -1) });
      restore(after);
    },
    canUndo: past.length > 0,
    canRedo: future.length > 0,
  };
}
