// Undo and redo for the canvas: former states, one for each thing that a person did.

import { useState } from "react";

const KEPT = 100;

export function useHistory<State>(restore: (state: State) => void) {
  const [past, setPast] = useState<State[]>([]);
  const [future, setFuture] = useState<State[]>([]);

  return {
    /** Remember the state before a change. */
    remember: (now: State) => {
      setPast([...past.slice(1 - KEPT), now]);
      setFuture([]);
    },
    undo: (now: State) => {
      const before = past.at(-1);
      if (before === undefined) return;
      setPast(past.slice(0, -1));
      setFuture([...future, now]);
      restore(before);
    },
    redo: (now: State) => {
      const after = future.at(-1);
      if (after === undefined) return;
      setFuture(future.slice(0, -1));
      setPast([...past, now]);
      restore(after);
    },
    canUndo: past.length > 0,
    canRedo: future.length > 0,
  };
}
