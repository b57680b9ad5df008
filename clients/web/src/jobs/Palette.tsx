// Choose what to run: every announced job by plugin, searched as you type, with the keyboard alone if you like.

import { Badge, Box, Group, NavLink, ScrollArea, Text, TextInput } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { type KeyboardEvent, useMemo, useRef, useState } from "react";

import type { Signature } from "../api/types";

interface Props {
  signatures: readonly Signature[];
  chosen: string | undefined;
  onChoose: (name: string) => void;
}

export function Palette({ signatures, chosen, onChoose }: Props) {
  const [text, setText] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useHotkeys([["/", () => search.current?.focus()]]);
  const found = useMemo(() => matching(signatures, text), [signatures, text]);
  const plugins = Map.groupBy(found, (signature) => pluginOf(signature));

  const onKeyDown = (event: KeyboardEvent) => {
    const links = [...(list.current?.querySelectorAll<HTMLElement>("a") ?? [])];
    const at = links.indexOf(document.activeElement as HTMLElement);
    if (event.key === "ArrowDown") links[Math.min(at + 1, links.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? links[at - 1] : search.current)?.focus();
    else if (event.key === "Enter" && at < 0 && found[0]) onChoose(found[0].name);
    else return;
    event.preventDefault();
  };

  return (
    <Box onKeyDown={onKeyDown} h="100%" style={{ display: "flex", flexDirection: "column" }}>
      <TextInput
        ref={search}
        m="sm"
        placeholder="Search jobs"
        aria-label="Search jobs"
        leftSection={<IconSearch size={16} />}
        rightSection={
          <Text size="xs" c="dimmed">
            /
          </Text>
        }
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <ScrollArea flex={1} type="hover">
        <Box ref={list} component="nav" aria-label="Jobs" px="xs" pb="md">
          {[...plugins].map(([plugin, jobs]) => (
            <Box key={plugin} mb="sm">
              <Group gap={6} px="xs" py={4}>
                <Text size="xs" fw={700} tt="uppercase" c="dimmed">
                  {plugin}
                </Text>
              </Group>
              {jobs.map((job) => (
                <NavLink
                  key={job.name}
                  href={`#/jobs/${job.name}`}
                  active={job.name === chosen}
                  label={job.name.slice(plugin.length + 1)}
                  description={job.title}
                  rightSection={
                    job.kind === "invocation" ? (
                      <Badge size="xs" variant="light">
                        graph
                      </Badge>
                    ) : undefined
                  }
                  style={{ borderRadius: "var(--mantine-radius-md)" }}
                />
              ))}
            </Box>
          ))}
          {!found.length && (
            <Text size="sm" c="dimmed" p="sm">
              Nothing is called like that.
            </Text>
          )}
        </Box>
      </ScrollArea>
    </Box>
  );
}

export const pluginOf = ({ name }: Pick<Signature, "name">): string => name.slice(0, name.lastIndexOf("."));

/** Return the jobs whose name, title or description holds every word, those named by the text first. */
export function matching(signatures: readonly Signature[], text: string): Signature[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = ({ name }: Signature) =>
    words.length && words.every((word) => name.toLowerCase().includes(word)) ? 0 : 1;
  return signatures
    .filter(({ name, description }) => {
      const all = `${name} ${description}`.toLowerCase();
      return words.every((word) => all.includes(word));
    })
    .sort((a, b) => rank(a) - rank(b));
}
