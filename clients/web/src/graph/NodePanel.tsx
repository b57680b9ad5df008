// The chosen node: its key, where its inputs come from, and its knobs. All that the canvas can, with the keyboard too.

import { Box, Button, Group, MultiSelect, Select, Stack, Text, TextInput } from "@mantine/core";
import { IconPlayerPlay, IconPlayerStop } from "@tabler/icons-react";
import { useMemo, useState } from "react";

import type { Job, Port, Signature } from "../api/types";
import { KnobsForm } from "../forms/KnobsForm";
import { PortInput, pictureAmong } from "../forms/PortInput";
import { Beside } from "../forms/Beside";
import { canonical, changed, inlined, titleOf } from "../forms/schema";
import { useProblems } from "../forms/useProblems";
import { Problem } from "../ui/Problem";
import { Tool } from "../ui/Tool";
import type { JobData, JobNode } from "./document";
import type { Refusal } from "./refusals";

/** An output of another node, as `key port`, and how it is called. */
export interface SourceOption {
  value: string;
  label: string;
}

interface Props {
  node: JobNode;
  signature: Signature | undefined;
  /** For each port, the outputs that are wired to it and those that could be. */
  sources: (port: Port) => { wired: string[]; possible: SourceOption[] };
  lastParams: Job["params"] | undefined;
  /** Why the graph did not run, if this node is to blame. */
  refusal: Refusal | null;
  isTaken: (key: string) => boolean;
  onRename: (key: string) => void;
  onWire: (port: Port, sources: string[]) => void;
  onChange: (data: Partial<JobData>) => void;
  onRun: () => void;
  /** Cancel its run, while there is one. */
  onCancel: (() => void) | undefined;
}

export function NodePanel({ node, signature, sources, lastParams, refusal, isTaken, ...on }: Props) {
  const schema = useMemo(() => inlined(signature?.params ?? {}), [signature]);
  const problems = useProblems(signature?.name, changed(node.data.params, schema));
  if (!signature) return <Text size="sm">Its plugin is not installed.</Text>;
  return (
    <Beside value={node.data.params}>
      <Stack gap="md">
        <Group justify="space-between" wrap="nowrap">
          <Box style={{ minWidth: 0 }}>
            <Text fw={600} truncate>
              {signature.name}
            </Text>
            <Text size="xs" c="dimmed" lineClamp={2}>
              {signature.title}
            </Text>
          </Box>
          <Group gap="xs" wrap="nowrap" style={{ flexShrink: 0 }}>
            {on.onCancel && <Tool label="Cancel" icon={IconPlayerStop} color="red" onClick={on.onCancel} />}
            <Button size="xs" variant="light" leftSection={<IconPlayerPlay size={15} />} onClick={on.onRun}>
              Run to here
            </Button>
          </Group>
        </Group>
        {refusal && <Problem error={refusal} />}
        <KeyInput key={node.id} name={node.id} isTaken={isTaken} onRename={on.onRename} />
        {signature.inputs.map((port) => {
          const { wired, possible } = sources(port);
          return (
            <Stack key={port.name} gap={6}>
              {(possible.length > 0 || wired.length > 0) && (
                <SourceSelect
                  port={port}
                  wired={wired}
                  possible={possible}
                  onChange={(chosen) => on.onWire(port, chosen)}
                />
              )}
              {!wired.length && (
                <PortInput
                  port={port}
                  value={node.data.inputs[port.name]}
                  onChange={(value) => on.onChange({ inputs: { ...node.data.inputs, [port.name]: value } })}
                  picture={pictureAmong(signature.inputs, node.data.inputs)}
                />
              )}
            </Stack>
          );
        })}
        <KnobsForm
          schema={schema}
          values={node.data.params}
          onChange={(values) => {
            const params = changed(values, schema);
            // The form completes what it is given, which is no change that a person made.
            if (canonical(params) !== canonical(node.data.params)) on.onChange({ params });
          }}
          lastValues={lastParams}
          problems={problems}
          canSweep
        />
      </Stack>
    </Beside>
  );
}

interface SourceProps {
  port: Port;
  wired: string[];
  possible: SourceOption[];
  onChange: (chosen: string[]) => void;
}

function SourceSelect({ port, wired, possible, onChange }: SourceProps) {
  const label = `${titleOf(port.name, {})} from`;
  if (port.list) {
    return (
      <MultiSelect size="sm" label={label} data={possible} value={wired} onChange={onChange} clearable />
    );
  }
  return (
    <Select
      size="sm"
      label={label}
      data={possible}
      value={wired[0] ?? null}
      onChange={(chosen) => onChange(chosen ? [chosen] : [])}
      placeholder="what is given here"
      clearable
    />
  );
}

interface KeyProps {
  name: string;
  isTaken: (key: string) => boolean;
  onRename: (key: string) => void;
}

/** The name of a node, which is its key in the document. */
function KeyInput({ name, isTaken, onRename }: KeyProps) {
  const [text, setText] = useState(name);
  const wanted = text.trim();
  const problem = wanted !== name && isTaken(wanted) ? "Another node is called like that." : null;
  const finish = () => {
    if (wanted && wanted !== name && !problem) onRename(wanted);
    else setText(name);
  };
  return (
    <TextInput
      size="sm"
      label="Name"
      value={text}
      error={problem}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={finish}
      onKeyDown={(event) => event.key === "Enter" && finish()}
    />
  );
}
