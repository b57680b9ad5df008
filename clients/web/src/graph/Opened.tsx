// A result of a node in full, over the canvas: closed, everything there is as it was. It finds no results itself.

import { useState } from "react";

import type { Job } from "../api/types";
import { resultsOf } from "../gallery/results";
import { useDelete } from "../gallery/useDelete";
import { useFavourites } from "../gallery/useFavourites";
import { Viewer } from "../gallery/Viewer";

interface Props {
  job: Job;
  /** The result that is shown first. */
  artifact: string;
  onClose: () => void;
}

export default function Opened({ job, artifact, onClose }: Props) {
  const results = resultsOf([job]);
  const first = results.findIndex((result) => result.artifact.id === artifact);
  const [at, setAt] = useState(Math.max(0, first));
  const [compared, setCompared] = useState("");
  const favourites = useFavourites();
  const deleting = useDelete(onClose);
  return (
    <>
      <Viewer
        results={results}
        at={at}
        compared={compared}
        favourites={favourites}
        onDelete={(result) => deleting.ask([result])}
        onCompare={setCompared}
        onMove={(next) => results[next] && setAt(next)}
        onClose={onClose}
      />
      {deleting.window}
    </>
  );
}
