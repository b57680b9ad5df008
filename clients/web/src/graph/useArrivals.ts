// Graphs that come from outside: files that are opened or dropped, results that are dragged here. And saving one.

import { notifications } from "@mantine/notifications";
import type { DragEvent } from "react";

import { provenanceOf } from "../jobs/provenance";
import type { GraphDocument } from "./document";
import { graphOfArtifact, graphOfJob, graphOfPicture } from "./made";

export function useArrivals(open: (made: GraphDocument) => void, onOpened: () => void) {
  const show = (name: string, coming: Promise<GraphDocument>) => {
    coming
      .then((made) => {
        open(made);
        onOpened();
      })
      .catch((error: unknown) => {
        notifications.show({
          color: "red",
          title: `${name} cannot be opened`,
          message: (error as Error).message,
        });
      });
  };
  const openFile = (file: File) => show(file.name, graphOfFile(file));
  return {
    openFile,
    openJob: (id: string) => show("The graph of this job", graphOfJob(id)),
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      const file = event.dataTransfer.files[0];
      const artifact = event.dataTransfer.getData("application/x-stable-core-artifact");
      if (artifact) show("This result", graphOfArtifact(artifact));
      else if (file) openFile(file);
    },
  };
}

async function graphOfFile(file: File): Promise<GraphDocument> {
  const made = provenanceOf(await file.arrayBuffer());
  if (made) return graphOfPicture(made);
  if (file.type.startsWith("image/")) throw new Error("This picture does not say which job made it.");
  return JSON.parse(await file.text()) as GraphDocument;
}

export function saveFile(graph: GraphDocument): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(graph, null, 2)], { type: "application/json" }));
  link.download = "graph.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

export function chooseFile(take: (file: File) => void): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "application/json,.json,image/png";
  input.onchange = () => input.files?.[0] && take(input.files[0]);
  input.click();
}
