// The canvas on which jobs are wired together and run as one graph.

import "@xyflow/react/dist/style.css";

import {
  Box,
  Button,
  CopyButton,
  Drawer,
  Group,
  Modal,
  Paper,
  ScrollArea,
  Stack,
  Text,
  TextInput,
  useComputedColorScheme,
} from "@mantine/core";
import { useDisclosure, useHotkeys, useMediaQuery } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconCode,
  IconDownload,
  IconLayoutGrid,
  IconPlayerPlay,
  IconPlus,
  IconTrash,
  IconUpload,
} from "@tabler/icons-react";
import {
  Background,
  type Connection,
  Controls,
  type Edge,
  type FinalConnectionState,
  MiniMap,
  ReactFlow,
  ReactFlowProvider,
  useEdgesState,
  useNodesState,
  useReactFlow,
} from "@xyflow/react";
import { type DragEvent, useCallback, useEffect, useMemo, useState } from "react";

import { ApiError, request } from "../api/http";
import { liveJobs, useLiveJobs } from "../api/liveJobs";
import { useSignatures } from "../api/queries";
import type { Job, Signature } from "../api/types";
import { KnobsForm } from "../forms/KnobsForm";
import { PortInput, pictureAmong } from "../forms/PortInput";
import { changed, inlined } from "../forms/schema";
import { matching } from "../jobs/Palette";
import { Tool } from "../ui/Tool";
import {
  type GraphDocument,
  type JobData,
  type JobNode as Node,
  fits,
  freshKey,
  fromDocument,
  fromJobs,
  laidOut,
  portType,
  snippets,
  toDocument,
  upTo,
  wire,
} from "./document";
import { Canvas, JobNode, PORT_COLORS } from "./JobNode";
import { useHistory } from "./useHistory";

const STORED = "graph";
const nodeTypes = { job: JobNode };

interface Adding {
  /** Where on the canvas the new job goes. */
  at: { x: number; y: number };
  /** The wire that was dropped there. */
  from?: { node: string; port: string; side: "source" | "target" };
}

export default function GraphPage() {
  return (
    <ReactFlowProvider>
      <Editor />
    </ReactFlowProvider>
  );
}

function stored(): ReturnType<typeof fromDocument> {
  try {
    return fromDocument(JSON.parse(localStorage.getItem(STORED) ?? ""));
  } catch {
    return { nodes: [], edges: [] };
  }
}

function Editor() {
  const [initial] = useState(stored);
  const [nodes, setNodes, onNodesChange] = useNodesState<Node>(initial.nodes);
  const [edges, setEdges, onEdgesChange] = useEdgesState(initial.edges);
  const [adding, setAdding] = useState<Adding | null>(null);
  const [ids, setIds] = useState<Record<string, string>>({});
  const [isCode, code] = useDisclosure();
  const { data: list = [] } = useSignatures();
  const signatures = useMemo(() => new Map(list.map((signature) => [signature.name, signature])), [list]);
  const { jobs } = useLiveJobs();
  const flow = useReactFlow();
  const isDark = useComputedColorScheme("light") === "dark";
  const isNarrow = useMediaQuery("(max-width: 62em)", window.innerWidth < 992);

  const document = useMemo(() => toDocument(nodes, edges), [nodes, edges]);
  useEffect(() => localStorage.setItem(STORED, JSON.stringify(document)), [document]);

  const show = useCallback(
    (made: GraphDocument) => {
      const shown = fromDocument(made);
      setNodes(shown.nodes);
      setEdges(shown.edges);
    },
    [setNodes, setEdges],
  );
  const history = useHistory<GraphDocument>(show);
  const remember = () => history.remember(document);

  const runs = useMemo(() => {
    const byId = new Map(jobs.map((job) => [job.id, job]));
    return new Map(
      Object.entries(ids).flatMap(([key, id]) => {
        const job = byId.get(id);
        return job ? [[key, job] as const] : [];
      }),
    );
  }, [jobs, ids]);

  const run = async (part: GraphDocument) => {
    try {
      const made = await request<{ id: string; jobs: Record<string, Job> }>("POST", "/v1/graphs", {
        ...part,
        ui: {},
      });
      for (const job of Object.values(made.jobs)) liveJobs.add(job);
      setIds((known) => ({
        ...known,
        ...Object.fromEntries(Object.entries(made.jobs).map(([key, job]) => [key, job.id])),
      }));
    } catch (error) {
      const { message, hint } = error as ApiError;
      notifications.show({ color: "red", title: message, message: hint, autoClose: 10_000 });
    }
  };

  const typeOfHandle = (
    node: string | null,
    side: "inputs" | "outputs",
    handle: string | null | undefined,
  ) => {
    const job = nodes.find(({ id }) => id === node)?.data.job;
    return portType(signatures.get(job ?? ""), side, handle ?? null);
  };
  const isValid = ({ source, sourceHandle, target, targetHandle }: Connection | Edge) =>
    source !== target &&
    fits(typeOfHandle(source, "outputs", sourceHandle), typeOfHandle(target, "inputs", targetHandle)) &&
    !reaches(edges, target, source);
  const onConnect = ({ source, sourceHandle, target, targetHandle }: Connection) => {
    remember();
    const job = nodes.find(({ id }) => id === target)?.data.job ?? "";
    const isList = signatures.get(job)?.inputs.find(({ name }) => name === targetHandle)?.list;
    setEdges((all) => [
      ...all.filter((edge) => isList || edge.target !== target || edge.targetHandle !== targetHandle),
      wire(source, sourceHandle, target, targetHandle ?? ""),
    ]);
  };
  const onConnectEnd = (event: MouseEvent | TouchEvent, state: FinalConnectionState) => {
    if (state.isValid || state.toNode || !state.fromHandle?.id) return;
    const point = "changedTouches" in event ? event.changedTouches[0] : event;
    if (!point) return;
    setAdding({
      at: flow.screenToFlowPosition({ x: point.clientX, y: point.clientY }),
      from: { node: state.fromHandle.nodeId, port: state.fromHandle.id, side: state.fromHandle.type },
    });
  };

  const add = (signature: Signature, { at, from }: Adding) => {
    remember();
    const key = freshKey(signature.name, new Set(nodes.map(({ id }) => id)));
    const data: JobData = { job: signature.name, inputs: {}, params: {} };
    setNodes((all) => [
      ...all.map((node) => ({ ...node, selected: false })),
      { id: key, type: "job", position: at, data, selected: true },
    ]);
    if (from?.side === "source") {
      const type = typeOfHandle(from.node, "outputs", from.port);
      const port = signature.inputs.find((one) => fits(type, one.type));
      if (port) setEdges((all) => [...all, wire(from.node, from.port, key, port.name)]);
    } else if (from) {
      const type = typeOfHandle(from.node, "inputs", from.port);
      const port = signature.outputs.find((one) => fits(one.type, type));
      if (port) setEdges((all) => [...all, wire(key, port.name, from.node, from.port)]);
    }
    setAdding(null);
  };

  const copy = () => {
    const chosen = nodes.filter(({ selected }) => selected);
    if (chosen.length)
      void navigator.clipboard.writeText(
        JSON.stringify(
          toDocument(
            chosen,
            edges.filter(({ source, target }) =>
              [source, target].every((id) => chosen.some((node) => node.id === id)),
            ),
          ),
        ),
      );
  };
  const paste = async () => {
    try {
      const pasted = fromDocument(JSON.parse(await navigator.clipboard.readText()));
      remember();
      const taken = new Set(nodes.map(({ id }) => id));
      const renamed = new Map<string, string>();
      for (const { id } of pasted.nodes) {
        const key = freshKey(id, taken);
        taken.add(key);
        renamed.set(id, key);
      }
      const name = (id: string) => renamed.get(id) ?? id;
      setNodes((all) => [
        ...all.map((node) => ({ ...node, selected: false })),
        ...pasted.nodes.map((node) => ({
          ...node,
          id: name(node.id),
          selected: true,
          position: { x: node.position.x + 40, y: node.position.y + 40 },
        })),
      ]);
      setEdges((all) => [
        ...all,
        ...pasted.edges.map((edge) =>
          wire(name(edge.source), edge.sourceHandle ?? null, name(edge.target), edge.targetHandle ?? ""),
        ),
      ]);
    } catch {
      // What is on the clipboard is no graph: nothing to paste here.
    }
  };
  const load = async (file: File) => {
    try {
      const read = JSON.parse(await file.text()) as GraphDocument;
      fromDocument(read);
      remember();
      show(read);
      setTimeout(() => void flow.fitView({ padding: 0.2 }), 50);
    } catch (error) {
      notifications.show({
        color: "red",
        title: `${file.name} cannot be opened`,
        message: (error as Error).message,
      });
    }
  };
  const onDrop = async (event: DragEvent) => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) return load(file);
    const artifact = event.dataTransfer.getData("application/x-stable-core-artifact");
    const made = jobs.find((job) => job.graph && JSON.stringify(job.outputs).includes(artifact));
    if (!artifact || !made?.graph) return undefined;
    const graph = await request<Job[]>("GET", `/v1/jobs?graph=${made.graph}&limit=1000`);
    remember();
    show(fromJobs(graph));
    return undefined;
  };

  useHotkeys([
    ["mod+Enter", () => void run(document)],
    ["mod+Z", () => history.undo(document)],
    ["mod+shift+Z", () => history.redo(document)],
    ["mod+Y", () => history.redo(document)],
    ["mod+C", copy],
    ["mod+V", () => void paste()],
  ]);

  const chosen = nodes.filter(({ selected }) => selected);
  const only = chosen.length === 1 ? chosen[0] : undefined;
  const middle = () =>
    flow.screenToFlowPosition({ x: window.innerWidth / 2 - 110, y: window.innerHeight / 3 });
  const panel = only && (
    <NodePanel
      node={only}
      signature={signatures.get(only.data.job)}
      wired={new Set(edges.filter(({ target }) => target === only.id).map((edge) => edge.targetHandle ?? ""))}
      lastParams={runs.get(only.id)?.params}
      onChange={(data) =>
        setNodes((all) =>
          all.map((node) => (node.id === only.id ? { ...node, data: { ...node.data, ...data } } : node)),
        )
      }
      onRun={() => void run(upTo(document, only.id))}
    />
  );
  return (
    <Canvas value={{ signatures, runs }}>
      <Box
        className="scroll-column"
        style={{ display: "flex", overflow: "hidden" }}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => void onDrop(event)}
      >
        <Box flex={1} pos="relative" style={{ minWidth: 0 }}>
          <ReactFlow
            nodes={nodes}
            edges={edges.map((edge) => ({
              ...edge,
              style: {
                stroke: PORT_COLORS[typeOfHandle(edge.source, "outputs", edge.sourceHandle) ?? ""],
                strokeWidth: 2,
              },
            }))}
            nodeTypes={nodeTypes}
            onNodesChange={onNodesChange}
            onEdgesChange={onEdgesChange}
            onNodeDragStart={remember}
            onBeforeDelete={() => {
              remember();
              return Promise.resolve(true);
            }}
            onConnect={onConnect}
            onConnectEnd={onConnectEnd}
            isValidConnection={isValid}
            colorMode={isDark ? "dark" : "light"}
            deleteKeyCode={["Delete", "Backspace"]}
            fitView
            fitViewOptions={{ maxZoom: 1, padding: 0.2 }}
            proOptions={{ hideAttribution: true }}
          >
            <Background gap={20} />
            <Controls showInteractive={false} />
            {!isNarrow && <MiniMap pannable zoomable />}
          </ReactFlow>
          <Paper pos="absolute" top={12} left={12} withBorder p={6} shadow="xs">
            <Group gap={4}>
              <Button
                size="xs"
                leftSection={<IconPlayerPlay size={16} />}
                disabled={!nodes.length}
                onClick={() => void run(document)}
              >
                Run all
              </Button>
              <Tool label="Add a job" icon={IconPlus} onClick={() => setAdding({ at: middle() })} />
              <Tool
                label="Undo"
                icon={IconArrowBackUp}
                disabled={!history.canUndo}
                onClick={() => history.undo(document)}
              />
              <Tool
                label="Redo"
                icon={IconArrowForwardUp}
                disabled={!history.canRedo}
                onClick={() => history.redo(document)}
              />
              <Tool
                label="Lay out"
                icon={IconLayoutGrid}
                onClick={() => {
                  remember();
                  setNodes((all) => laidOut(all, edges));
                  setTimeout(() => void flow.fitView({ padding: 0.2, maxZoom: 1 }), 50);
                }}
              />
              <Tool label="Save as a file" icon={IconDownload} onClick={() => save(document)} />
              <Tool label="Open a file" icon={IconUpload} onClick={() => choose((file) => void load(file))} />
              <Tool label="As a program" icon={IconCode} onClick={code.open} />
              <Tool
                label="Clear"
                icon={IconTrash}
                disabled={!nodes.length}
                onClick={() => {
                  remember();
                  setNodes([]);
                  setEdges([]);
                }}
              />
            </Group>
          </Paper>
          {!nodes.length && (
            <Stack
              pos="absolute"
              top="35%"
              left={0}
              right={0}
              align="center"
              gap={4}
              style={{ pointerEvents: "none" }}
            >
              <Text fw={600}>An empty canvas</Text>
              <Text size="sm" c="dimmed">
                Add a job with +, then pull wires from its ports.
              </Text>
            </Stack>
          )}
        </Box>
        {panel &&
          (isNarrow ? (
            <Drawer
              opened
              onClose={() => setNodes((all) => all.map((node) => ({ ...node, selected: false })))}
              position="bottom"
              size="60%"
              title={only.id}
            >
              {panel}
            </Drawer>
          ) : (
            <ScrollArea
              w={380}
              p="md"
              style={{ borderLeft: "1px solid var(--mantine-color-default-border)" }}
            >
              {panel}
            </ScrollArea>
          ))}
      </Box>
      {adding && (
        <AddJob
          adding={adding}
          signatures={list}
          typeOfHandle={typeOfHandle}
          onAdd={add}
          onClose={() => setAdding(null)}
        />
      )}
      {isCode && <Program document={document} onClose={code.close} />}
    </Canvas>
  );
}

/** Tell whether wires lead from one node to another; a wire back would be a circle. */
function reaches(edges: readonly Edge[], from: string, to: string): boolean {
  return from === to || edges.some(({ source, target }) => source === from && reaches(edges, target, to));
}

interface AddJobProps {
  adding: Adding;
  signatures: readonly Signature[];
  typeOfHandle: (node: string | null, side: "inputs" | "outputs", handle: string) => string | undefined;
  onAdd: (signature: Signature, adding: Adding) => void;
  onClose: () => void;
}

/** A search for a job to add; after a wire was dropped, only of those it fits. */
function AddJob({ adding, signatures, typeOfHandle, onAdd, onClose }: AddJobProps) {
  const [text, setText] = useState("");
  const { from } = adding;
  const type = from && typeOfHandle(from.node, from.side === "source" ? "outputs" : "inputs", from.port);
  const fitting = signatures.filter((signature) => {
    if (!from) return true;
    return from.side === "source"
      ? signature.inputs.some((port) => fits(type, port.type))
      : signature.outputs.some((port) => fits(port.type, type));
  });
  const found = matching(fitting, text);
  return (
    <Modal
      opened
      onClose={onClose}
      title={from && type ? `Jobs that ${from.side === "source" ? "take" : "make"} ${type}` : "Add a job"}
    >
      <TextInput
        data-autofocus
        aria-label="Search jobs"
        placeholder="Search"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && found[0] && onAdd(found[0], adding)}
        mb="xs"
      />
      <Stack gap={2} mah={360} style={{ overflowY: "auto" }}>
        {found.map((signature) => (
          <Button
            key={signature.name}
            variant="subtle"
            color="gray"
            justify="start"
            onClick={() => onAdd(signature, adding)}
          >
            {signature.name}
            <Text span size="xs" c="dimmed" ml="sm" truncate>
              {signature.title}
            </Text>
          </Button>
        ))}
      </Stack>
    </Modal>
  );
}

interface NodePanelProps {
  node: Node;
  signature: Signature | undefined;
  wired: ReadonlySet<string>;
  lastParams: Job["params"] | undefined;
  onChange: (data: Partial<JobData>) => void;
  onRun: () => void;
}

/** The inputs and knobs of the chosen node. */
function NodePanel({ node, signature, wired, lastParams, onChange, onRun }: NodePanelProps) {
  const schema = useMemo(() => inlined(signature?.params ?? {}), [signature]);
  if (!signature) return <Text size="sm">Its plugin is not installed.</Text>;
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Text fw={600}>{signature.name}</Text>
        <Button size="xs" variant="light" leftSection={<IconPlayerPlay size={15} />} onClick={onRun}>
          Run to here
        </Button>
      </Group>
      {signature.inputs
        .filter(({ name }) => !wired.has(name))
        .map((port) => (
          <PortInput
            key={port.name}
            port={port}
            value={node.data.inputs[port.name]}
            onChange={(value) => onChange({ inputs: { ...node.data.inputs, [port.name]: value } })}
            picture={pictureAmong(signature.inputs, node.data.inputs)}
          />
        ))}
      <KnobsForm
        schema={schema}
        values={node.data.params}
        onChange={(params) => onChange({ params: changed(params, schema) })}
        lastValues={lastParams}
        canSweep
      />
    </Stack>
  );
}

function Program({ document, onClose }: { document: GraphDocument; onClose: () => void }) {
  const made = snippets(document, window.location.origin);
  return (
    <Modal opened onClose={onClose} title="As a program" size="lg">
      <Stack>
        {Object.entries(made).map(([name, text]) => (
          <Box key={name}>
            <Group justify="space-between">
              <Text size="sm" fw={600}>
                {name}
              </Text>
              <CopyButton value={text}>
                {({ copied, copy }) => (
                  <Button size="compact-xs" variant="subtle" onClick={copy}>
                    {copied ? "Copied" : "Copy"}
                  </Button>
                )}
              </CopyButton>
            </Group>
            <ScrollArea.Autosize mah={220}>
              <Text component="pre" size="xs" ff="monospace" m={0}>
                {text}
              </Text>
            </ScrollArea.Autosize>
          </Box>
        ))}
      </Stack>
    </Modal>
  );
}

function save(graph: GraphDocument): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(graph, null, 2)], { type: "application/json" }));
  link.download = "graph.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

function choose(take: (file: File) => void): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "application/json,.json";
  input.onchange = () => input.files?.[0] && take(input.files[0]);
  input.click();
}
