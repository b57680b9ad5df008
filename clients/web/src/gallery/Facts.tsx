// What made a result, as a table: every input and knob, each to be copied, or all of it as JSON.

import { ActionIcon, Button, CopyButton, Group, Table, Text } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";

import { isRecord } from "../forms/schema";
import type { Result } from "./results";

export function Facts({ result: { artifact, job } }: { result: Result }) {
  const facts: [string, unknown][] = [
    ...Object.entries(job.inputs).filter(([, value]) => typeof value === "string"),
    ...flat(job.params),
    ["Size", artifact.width ? `${artifact.width} × ${artifact.height}` : undefined],
    ["Job", job.job],
    ["Made", new Date(job.created * 1000).toLocaleString()],
    ["Saved as", artifact.path],
  ];
  const request = { job: job.job, inputs: job.inputs, params: job.params };
  return (
    <>
      <CopyButton value={JSON.stringify(request, null, 2)}>
        {({ copied, copy }) => (
          <Button
            size="compact-sm"
            variant="subtle"
            color={copied ? "green" : "gray"}
            leftSection={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
            onClick={copy}
            mb={-8}
            style={{ alignSelf: "start" }}
          >
            {copied ? "Copied" : "Copy all"}
          </Button>
        )}
      </CopyButton>
      <Table layout="fixed" verticalSpacing={4}>
        <Table.Tbody>
          {facts
            .filter(([, value]) => ![undefined, null, "", "[]"].includes(asText(value)))
            .map(([name, value]) => (
              <Fact key={name} name={name} value={asText(value) ?? ""} />
            ))}
        </Table.Tbody>
      </Table>
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <Table.Tr>
      <Table.Td w={120} c="dimmed" style={{ verticalAlign: "top", overflowWrap: "anywhere" }}>
        <Text size="xs" lh={1.6}>
          {labelOf(name)}
        </Text>
      </Table.Td>
      <Table.Td style={{ overflowWrap: "anywhere" }}>
        <Group gap={4} wrap="nowrap" justify="space-between" align="start">
          <Text size="sm">{value}</Text>
          <CopyButton value={value}>
            {({ copied, copy }) => (
              <ActionIcon
                size="xs"
                variant="subtle"
                color={copied ? "green" : "gray"}
                aria-label={`Copy ${name}`}
                onClick={copy}
              >
                {copied ? <IconCheck size={13} /> : <IconCopy size={13} />}
              </ActionIcon>
            )}
          </CopyButton>
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}

const asText = (value: unknown): string | null | undefined =>
  typeof value === "string" ? value : value === null ? null : JSON.stringify(value);

/** Return the name of a knob as it is read, with places to break it at. */
const labelOf = (name: string): string => name.replaceAll("_", " ").replaceAll(".", ".\u200b");

/** Return nested knobs as `hires.scale`. */
function flat(values: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(values).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) ? flat(value, `${prefix}${name}.`) : [[`${prefix}${name}`, value]],
  );
}
