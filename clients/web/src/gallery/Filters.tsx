// What is looked for in the gallery: words, a job, days, favourites.

import { ActionIcon, Button, Group, Popover, Select, Stack, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconCalendar, IconHeart, IconSearch, IconX } from "@tabler/icons-react";
import { useState } from "react";

import { useSignatures } from "../api/queries";
import type { Asked } from "./useAddress";

const TYPING_MS = 250;

interface Props {
  asked: Asked;
  onAsk: (change: Partial<Asked>) => void;
}

export function Filters({ asked, onAsk }: Props) {
  const { data: signatures = [] } = useSignatures();
  const [typed, setTyped] = useState<string | null>(null);
  const search = useDebouncedCallback((text: string) => {
    onAsk({ text });
    setTyped(null);
  }, TYPING_MS);
  return (
    <>
      <TextInput
        placeholder="Words of the prompt"
        aria-label="Words of the prompt"
        leftSection={<IconSearch size={16} />}
        value={typed ?? asked.text}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          search(event.currentTarget.value);
        }}
        w={{ base: "100%", xs: 220 }}
      />
      <Select
        placeholder="All jobs"
        aria-label="Job"
        data={signatures.map((signature) => signature.name)}
        value={asked.job || null}
        onChange={(job) => onAsk({ job: job ?? "" })}
        clearable
        searchable
        flex={{ base: 1, xs: "0 0 170px" }}
        miw={110}
      />
      <Days asked={asked} onAsk={onAsk} />
      <Tooltip label={asked.liked ? "Show all" : "Show favourites only"}>
        <ActionIcon
          variant={asked.liked ? "filled" : "default"}
          size="input-sm"
          aria-label="Favourites only"
          aria-pressed={asked.liked}
          onClick={() => onAsk({ liked: !asked.liked })}
        >
          <IconHeart size={18} />
        </ActionIcon>
      </Tooltip>
    </>
  );
}

function Days({ asked: { from, to }, onAsk }: Props) {
  const label = from || to ? (from === to ? from : `${from || "…"} – ${to || "…"}`) : "Any day";
  return (
    <Popover position="bottom-end" withArrow trapFocus>
      <Popover.Target>
        <Button
          variant="default"
          fw={400}
          c={from || to ? undefined : "dimmed"}
          leftSection={<IconCalendar size={16} />}
        >
          {label}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          <Group gap="xs">
            <Button
              size="compact-xs"
              variant="light"
              onClick={() => onAsk({ from: daysAgo(0), to: daysAgo(0) })}
            >
              Today
            </Button>
            <Button size="compact-xs" variant="light" onClick={() => onAsk({ from: daysAgo(6), to: "" })}>
              7 days
            </Button>
            <Button size="compact-xs" variant="light" onClick={() => onAsk({ from: daysAgo(29), to: "" })}>
              30 days
            </Button>
          </Group>
          <TextInput
            type="date"
            label="First day"
            value={from}
            max={to || undefined}
            onChange={(event) => onAsk({ from: event.currentTarget.value })}
          />
          <TextInput
            type="date"
            label="Last day"
            value={to}
            min={from || undefined}
            onChange={(event) => onAsk({ to: event.currentTarget.value })}
          />
          <Button
            size="xs"
            variant="subtle"
            color="gray"
            leftSection={<IconX size={14} />}
            disabled={!from && !to}
            onClick={() => onAsk({ from: "", to: "" })}
          >
            Any day
          </Button>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

/** Return a day here as YYYY-MM-DD, which is how Swedes write it. */
const daysAgo = (days: number): string => {
  const date = new Date();
  date.setDate(date.getDate() - days);
  return date.toLocaleDateString("sv");
};
