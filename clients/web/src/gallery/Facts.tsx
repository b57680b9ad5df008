// What made a result: its texts and what was set, the rest in a fold; each to be copied, or all of it as JSON.

import { ActionIcon, Box, Button, CopyButton, Group, Stack, Table, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCheck, IconChevronRight, IconCopy } from "@tabler/icons-react";
import { useMemo } from "react";

import { useSignatures } from "../api/queries";
import { inlined } from "../forms/schema";
import { type Fact, factsOf, told } from "./sortedFacts";
import type { Result } from "./results";

export function Facts({ result: { artifact, job } }: { result: Result }) {
  const { data: signatures = [] } = useSignatures();
  const [isOpen, { toggle }] = useDisclosure();
  const signature = signatures.find(({ name }) => name === job.job);
  const schema = useMemo(() => signature && inlined(signature.params), [signature]);
  const { inputs, own, usual } = factsOf(job, schema);
  const about = told([
    ["Size", artifact.width ? `${artifact.width} × ${artifact.height}` : undefined],
    ["Job", job.job],
    ["Made", new Date(job.created * 1000).toLocaleString()],
    ["Saved as", artifact.path],
  ]);
  const request = { job: job.job, inputs: job.inputs, params: job.params };
  return (
    <Stack gap="md">
      {inputs.map(([name, text]) => (
        <Box key={name}>
          <Group gap={4} justify="space-between">
            <Text size="xs" c="dimmed">
              {labelOf(name)}
            </Text>
            <Copy name={name} value={text} />
          </Group>
          <Text style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>{text}</Text>
        </Box>
      ))}
      <Rows facts={own} />
      <Rows facts={about} />
      <Box>
        <Group justify="space-between">
          {usual.length > 0 && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              aria-expanded={isOpen}
              ml={-8}
              onClick={toggle}
              leftSection={
                <IconChevronRight
                  size={15}
                  aria-hidden
                  style={{ transform: isOpen ? "rotate(90deg)" : undefined }}
                />
              }
            >
              {usual.length} knobs as usual
            </Button>
          )}
          <CopyButton value={JSON.stringify(request, null, 2)}>
            {({ copied, copy }) => (
              <Button
                size="compact-sm"
                variant="subtle"
                color={copied ? "green" : "gray"}
                leftSection={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
                onClick={copy}
              >
                {copied ? "Copied" : "Copy all"}
              </Button>
            )}
          </CopyButton>
        </Group>
        {isOpen && <Rows facts={usual} />}
      </Box>
    </Stack>
  );
}

function Rows({ facts }: { facts: readonly Fact[] }) {
  if (!facts.length) return null;
  return (
    <Table layout="fixed" verticalSpacing={4} horizontalSpacing={0}>
      <Table.Tbody>
        {facts.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Td w={112} pr={8} c="dimmed" style={{ verticalAlign: "top", overflowWrap: "anywhere" }}>
              <Text size="xs" lh={1.6}>
                {labelOf(name)}
              </Text>
            </Table.Td>
            <Table.Td style={{ overflowWrap: "anywhere" }}>
              <Group gap={4} wrap="nowrap" justify="space-between" align="start">
                <Text size="sm">{value}</Text>
                <Copy name={name} value={value} />
              </Group>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Copy({ name, value }: { name: string; value: string }) {
  return (
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
  );
}

/** Return the name of a knob as it is read, with places to break it at. */
const labelOf = (name: string): string => name.replaceAll("_", " ").replaceAll(".", ".\u200b");
