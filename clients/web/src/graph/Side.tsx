// The chosen node, beside the canvas or, where it is narrow, below it.

import { Box, Drawer, ScrollArea } from "@mantine/core";
import type { ReactNode } from "react";

import { cancelJob } from "../api/queries";
import { type Port, isFinal } from "../api/types";
import { told } from "../ui/told";
import { type GraphDocument, isJob, upTo, wire } from "./document";
import { type Signatures, onlyChosen, renamed, whyNot, withData } from "./editing";
import { NodePanel } from "./NodePanel";
import type { Refusal } from "./refusals";
import type { useGraph } from "./useGraph";
import type { Run } from "./useRuns";
import { SHEET, useIsNarrow } from "./useView";

interface Props {
  canvas: ReturnType<typeof useGraph>;
  signatures: Signatures;
  runs: ReadonlyMap<string, Run>;
  refusal: Refusal | null;
  run: (part: GraphDocument) => Promise<void>;
}

export function Side({ canvas, signatures, runs, refusal, run }: Props) {
  const { graph, document, edit, choose } = canvas;
  const node = onlyChosen(graph);
  if (!node || !isJob(node)) return null;
  const job = runs.get(node.id)?.job;
  const into = (port: Port) =>
    graph.edges.filter(({ target, targetHandle }) => target === node.id && targetHandle === port.name);
  const possible = (port: Port) =>
    graph.nodes.filter(isJob).flatMap(({ id, data }) =>
      (signatures.get(data.job)?.outputs ?? [])
        .map((output) => wire(id, output.name, node.id, port.name))
        .filter((wanted) => !whyNot(graph, signatures, wanted))
        .map((wanted) => ({ value: wanted.id, label: `${id} · ${wanted.sourceHandle ?? ""}`, wanted })),
    );
  return (
    <Sheet title={node.id} onClose={() => choose(() => false)}>
      <NodePanel
        node={node}
        signature={signatures.get(node.data.job)}
        sources={(port) => ({ wired: into(port).map(({ id }) => id), possible: possible(port) })}
        lastParams={job?.params}
        refusal={refusal?.node === node.id ? refusal : null}
        isTaken={(key) => graph.nodes.some(({ id }) => id === key)}
        onRename={(key) => edit((now) => renamed(now, node.id, key))}
        onWire={(port, ids) => {
          const known = new Map(possible(port).map(({ value, wanted }) => [value, wanted]));
          const added = ids.flatMap((id) => known.get(id) ?? into(port).find((edge) => edge.id === id) ?? []);
          edit(({ nodes, edges }) => ({
            nodes,
            edges: [
              ...edges.filter((edge) => edge.target !== node.id || edge.targetHandle !== port.name),
              ...added,
            ],
          }));
        }}
        onChange={(data) => edit((now) => withData(now, node.id, data), `knobs of ${node.id}`)}
        onRun={() => void run(upTo(document, node.id))}
        onCancel={job && !isFinal(job) ? told(() => cancelJob(job.id)) : undefined}
      />
    </Sheet>
  );
}

function Sheet({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const isNarrow = useIsNarrow();
  if (isNarrow) {
    return (
      <Drawer opened onClose={onClose} position="bottom" size={`${100 * SHEET}%`} title={title}>
        {children}
      </Drawer>
    );
  }
  return (
    <ScrollArea
      component="section"
      aria-label={`Node ${title}`}
      w={380}
      style={{ borderLeft: "1px solid var(--mantine-color-default-border)" }}
    >
      <Box p="md">{children}</Box>
    </ScrollArea>
  );
}
