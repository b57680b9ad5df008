// That what is asked for is in sight, once the canvas knows how large everything is that was drawn on it.

import { useEffect, useEffectEvent, useState } from "react";

import { isJob } from "./document";
import type { Way } from "./layout";
import type { useGraph } from "./useGraph";

/** How long the canvas takes to know the size of what was drawn on it. */
const A_MOMENT_MS = 60;

/** Lay out and show a graph that comes without places, when its nodes have been drawn; show others on a phone. */
export function useSettled(
  { graph, settle }: ReturnType<typeof useGraph>,
  isKnown: boolean,
  way: Way,
  fit: () => void,
) {
  const isMeasured =
    graph.nodes.some(isJob) && graph.nodes.every(({ type, measured }) => measured ?? type === "frame");
  const [wasShown, setShown] = useState(!way.isNarrow);
  useEffect(() => {
    if (!isMeasured || !isKnown || (wasShown && !graph.isUnplaced)) return;
    const settling = setTimeout(() => {
      setShown(true);
      if (graph.isUnplaced) settle(way);
      setTimeout(fit, A_MOMENT_MS);
    }, A_MOMENT_MS);
    return () => clearTimeout(settling);
  });
}

/** Show the chosen node when its panel has taken its place. */
export function useInSight(chosen: string | undefined, show: (id: string) => void) {
  const showNow = useEffectEvent(show);
  useEffect(() => {
    if (chosen === undefined) return;
    const showing = setTimeout(() => showNow(chosen), A_MOMENT_MS);
    return () => clearTimeout(showing);
  }, [chosen]);
}
