// Everything that was made: found, looked at, compared, sent on, deleted.

import { ActionIcon, Tooltip, Box, Button, Center, Group, Loader, Paper, Text, Title } from "@mantine/core";
import { IconArrowsLeftRight, IconCheckbox, IconTrash, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { fetchJob } from "../api/queries";
import type { Job } from "../api/types";
import { useRestore } from "../jobs/useRestore";
import { Empty } from "../ui/Empty";
import { Problem } from "../ui/Problem";
import { Filters } from "./Filters";
import { Grid } from "./Grid";
import { type Filter, type Result, resultsOf, useGallery } from "./results";
import { useAddress } from "./useAddress";
import { useDelete } from "./useDelete";
import { useFavourites } from "./useFavourites";
import { Viewer } from "./Viewer";

export default function GalleryPage() {
  const address = useAddress();
  const { asked, opened } = address;
  const favourites = useFavourites();
  const restore = useRestore();
  const { liked, ...plain } = asked;
  const filter: Filter = { ...plain, among: liked ? favourites.jobs : null };
  const { query, results } = useGallery(filter);
  const shown = useMemo(
    () => (liked ? results.filter(({ artifact }) => favourites.has(artifact.id)) : results),
    [results, liked, favourites],
  );
  const [isChoosing, setChoosing] = useState(false);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const picked = shown.filter(({ key }) => chosen.has(key));
  const stopChoosing = () => {
    setChoosing(false);
    setChosen(new Set());
  };
  const deleting = useDelete(stopChoosing);
  const choose = ({ key }: Result) => {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
    setChoosing(next.size > 0);
  };
  const isFiltered = liked || Object.values(plain).some(Boolean);

  return (
    <Box
      className="scroll-column"
      style={{ display: "flex", flexDirection: "column", overflow: "hidden" }}
      {...restore}
    >
      <Group p="md" pb="xs" gap="xs" wrap="wrap">
        <Group gap="xs" mr="auto" align="baseline">
          <Title order={2} size="h3">
            Gallery
          </Title>
          {shown.length > 0 && (
            <Text c="dimmed" size="sm" title={query.hasNextPage ? "There are more" : undefined}>
              {shown.length.toLocaleString()}
              {query.hasNextPage && "+"}
            </Text>
          )}
        </Group>
        <Filters asked={asked} onAsk={address.ask} />
        <Tooltip label={isChoosing ? "Done" : "Select"}>
          <ActionIcon
            variant={isChoosing ? "filled" : "default"}
            size="input-sm"
            aria-label="Select"
            aria-pressed={isChoosing}
            onClick={isChoosing ? stopChoosing : () => setChoosing(true)}
          >
            <IconCheckbox size={18} />
          </ActionIcon>
        </Tooltip>
      </Group>
      {query.error && (
        <Box p="md">
          <Problem error={query.error} />
        </Box>
      )}
      {query.isPending || (liked && !favourites.isKnown) ? (
        <Center flex={1}>
          <Loader aria-label="Loading" />
        </Center>
      ) : (
        <Grid
          results={shown}
          favourites={favourites}
          chosen={chosen}
          isChoosing={isChoosing}
          onOpen={({ key }) => address.open(key)}
          onChoose={choose}
          onDelete={(result) => deleting.ask([result])}
          hasMore={query.hasNextPage && !query.error}
          onMore={() => {
            if (query.hasNextPage && !query.isFetchingNextPage) void query.fetchNextPage();
          }}
          empty={
            query.hasNextPage || query.error ? null : isFiltered ? (
              <Empty title="Nothing like that">Change the words or the filters above.</Empty>
            ) : (
              <Empty title="Nothing yet">Pictures appear here when jobs have made them.</Empty>
            )
          }
        />
      )}
      {isChoosing && (
        <Paper
          withBorder
          shadow="md"
          p="xs"
          mx="auto"
          my="sm"
          component="section"
          aria-label="Selection"
          className="selection"
        >
          <Group gap="xs" wrap="nowrap">
            <Text size="sm" px={{ base: 4, sm: "xs" }} style={{ whiteSpace: "nowrap" }}>
              {picked.length} chosen
            </Text>
            <Button
              size="xs"
              variant="default"
              leftSection={<IconArrowsLeftRight size={16} />}
              disabled={picked.length !== 2}
              onClick={() => {
                const [first, second] = picked;
                stopChoosing();
                if (first && second) address.compare(second.artifact.id, first.key);
              }}
            >
              Compare
            </Button>
            <Button
              size="xs"
              color="red"
              variant="light"
              leftSection={<IconTrash size={16} />}
              disabled={!picked.length}
              onClick={() => deleting.ask(picked)}
            >
              Delete
            </Button>
            <Button
              size="xs"
              variant="subtle"
              color="gray"
              leftSection={<IconX size={16} />}
              onClick={stopChoosing}
            >
              Done
            </Button>
          </Group>
        </Paper>
      )}
      {deleting.window}
      {opened && <Opened shown={shown} favourites={favourites} address={address} />}
    </Box>
  );
}

interface OpenedProps {
  shown: readonly Result[];
  favourites: ReturnType<typeof useFavourites>;
  address: ReturnType<typeof useAddress>;
}

/** The result that the address names; one that is not in the list is asked for alone. */
function Opened({ shown, favourites, address }: OpenedProps) {
  const { opened, compared } = address;
  const listed = shown.findIndex(({ key }) => key === opened);
  const id = opened.split("/")[0] ?? "";
  const { data: lone = [] } = useQuery({
    queryKey: ["result", id],
    queryFn: () => fetchFamily(id),
    enabled: listed < 0,
  });
  const results = listed >= 0 ? shown : resultsOf(lone.slice(0, 1), lone);
  const at = results.findIndex(({ key }) => key === opened);
  const afterDeletion = () => {
    const next = results[at + 1] ?? results[at - 1];
    if (next) address.open(next.key, true);
    else address.close();
  };
  const deleting = useDelete(afterDeletion);
  if (at < 0) return null;
  return (
    <>
      <Viewer
        results={results}
        at={at}
        compared={compared}
        favourites={favourites}
        onDelete={(result) => deleting.ask([result])}
        onCompare={(artifact) => address.compare(artifact)}
        onMove={(next) => results[next] && address.open(results[next].key, true)}
        onClose={address.close}
      />
      {deleting.window}
    </>
  );
}

/** Return a job, and after it the jobs that it is a part of. */
async function fetchFamily(id: string): Promise<Job[]> {
  const job = await fetchJob(id);
  return [job, ...(job.parent === null ? [] : await fetchFamily(job.parent))];
}
