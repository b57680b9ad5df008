// Everything that was made, as an endless grid. Only the rows on screen exist in the page.

import {
  ActionIcon,
  Box,
  Center,
  Group,
  Loader,
  Select,
  Text,
  TextInput,
  Title,
  Tooltip,
  UnstyledButton,
} from "@mantine/core";
import { useElementSize, useLocalStorage } from "@mantine/hooks";
import { IconHeart, IconHeartFilled, IconSearch } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useParams } from "wouter";

import { artifactUrl, useSignatures } from "../api/queries";
import { promptOf } from "../queue/JobCard";
import { Empty } from "../ui/Empty";
import { Problem } from "../ui/Problem";
import { type Result, filtered, resultsOf, useResults } from "./results";
import { Viewer } from "./Viewer";

const CELL = 200;
const GAP = 8;

export default function GalleryPage() {
  const [name, setName] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [day, setDay] = useState("");
  const [onlyFavourites, setOnlyFavourites] = useState(false);
  const [favourites, setFavourites] = useLocalStorage<string[]>({ key: "favourites", defaultValue: [] });
  const [, navigate] = useLocation();
  const opened = useParams()["*"];
  const { data: signatures = [] } = useSignatures();
  const query = useResults(name);
  const liked = useMemo(() => new Set(favourites), [favourites]);
  const all = useMemo(() => resultsOf(query.data?.pages.flat() ?? []), [query.data]);
  const shown = useMemo(
    () => filtered(all, { text, day, favourites: onlyFavourites ? liked : null }),
    [all, text, day, onlyFavourites, liked],
  );
  const at = shown.findIndex(({ key }) => key === opened);
  const like = (id: string) =>
    setFavourites(liked.has(id) ? favourites.filter((one) => one !== id) : [...favourites, id]);

  return (
    <Box className="scroll-column" style={{ display: "flex", flexDirection: "column", overflow: "hidden" }}>
      <Group p="md" pb="xs" gap="xs" wrap="wrap">
        <Title order={2} size="h3" mr="auto">
          Gallery
        </Title>
        <TextInput
          placeholder="Words of the prompt"
          aria-label="Words of the prompt"
          leftSection={<IconSearch size={16} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          w={200}
        />
        <Select
          placeholder="All jobs"
          aria-label="Job"
          data={signatures.map((signature) => signature.name)}
          value={name}
          onChange={setName}
          clearable
          searchable
          w={170}
        />
        <TextInput
          type="date"
          aria-label="Day"
          value={day}
          onChange={(event) => setDay(event.currentTarget.value)}
          w={150}
        />
        <Tooltip label={onlyFavourites ? "Show all" : "Show favourites only"}>
          <ActionIcon
            variant={onlyFavourites ? "filled" : "default"}
            size="input-sm"
            aria-label="Favourites only"
            aria-pressed={onlyFavourites}
            onClick={() => setOnlyFavourites(!onlyFavourites)}
          >
            <IconHeart size={18} />
          </ActionIcon>
        </Tooltip>
      </Group>
      {query.error && (
        <Box p="md">
          <Problem error={query.error} />
        </Box>
      )}
      {query.isPending ? (
        <Center flex={1}>
          <Loader aria-label="Loading" />
        </Center>
      ) : (
        <Grid
          results={shown}
          liked={liked}
          isFiltered={shown.length < all.length}
          onOpen={(result) => navigate(`/gallery/${result.key}`)}
          onLike={like}
          onEnd={() => {
            if (query.hasNextPage && !query.isFetchingNextPage) void query.fetchNextPage();
          }}
        />
      )}
      {at >= 0 && (
        <Viewer
          results={shown}
          at={at}
          isLiked={liked.has(shown[at]?.artifact.id ?? "")}
          onLike={like}
          onMove={(next) => shown[next] && navigate(`/gallery/${shown[next].key}`, { replace: true })}
          onClose={() => navigate("/gallery")}
        />
      )}
    </Box>
  );
}

interface GridProps {
  results: readonly Result[];
  liked: ReadonlySet<string>;
  isFiltered: boolean;
  onOpen: (result: Result) => void;
  onLike: (id: string) => void;
  onEnd: () => void;
}

function Grid({ results, liked, isFiltered, onOpen, onLike, onEnd }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const { ref: measured, width } = useElementSize();
  const columns = Math.max(2, Math.floor((width + GAP) / (CELL + GAP)));
  const side = (width - GAP * (columns - 1)) / columns;
  const rows = useVirtualizer({
    count: Math.ceil(results.length / columns),
    getScrollElement: () => scroller.current,
    estimateSize: () => side,
    gap: GAP,
    overscan: 3,
  });
  useEffect(() => rows.measure(), [rows, side]);
  const visible = rows.getVirtualItems();
  const last = visible.at(-1)?.index ?? 0;
  useEffect(() => {
    if ((last + 4) * columns >= results.length) onEnd();
  });

  return (
    <Box ref={scroller} flex={1} px="md" pb="md" style={{ overflowY: "auto" }} data-testid="gallery">
      <Box ref={measured} pos="relative" h={Math.max(rows.getTotalSize(), 1)}>
        {width > 0 &&
          visible.map((row) => (
            <Box
              key={row.key}
              pos="absolute"
              top={0}
              left={0}
              right={0}
              h={side}
              style={{
                transform: `translateY(${row.start}px)`,
                display: "grid",
                gridTemplateColumns: `repeat(${columns}, 1fr)`,
                gap: GAP,
              }}
            >
              {results.slice(row.index * columns, (row.index + 1) * columns).map((result) => (
                <Cell
                  key={result.key}
                  result={result}
                  isLiked={liked.has(result.artifact.id)}
                  onOpen={onOpen}
                  onLike={onLike}
                />
              ))}
            </Box>
          ))}
      </Box>
      {!results.length &&
        (isFiltered ? (
          <Empty title="Nothing like that">Change the words or the filters above.</Empty>
        ) : (
          <Empty title="Nothing yet">Pictures appear here when jobs have made them.</Empty>
        ))}
    </Box>
  );
}

interface CellProps {
  result: Result;
  isLiked: boolean;
  onOpen: (result: Result) => void;
  onLike: (id: string) => void;
}

function Cell({ result, isLiked, onOpen, onLike }: CellProps) {
  const { artifact, job } = result;
  const label = promptOf(job) || job.job;
  const isPicture = artifact.type === "image" || artifact.type === "mask";
  return (
    <Box pos="relative" style={{ minWidth: 0 }}>
      <UnstyledButton
        onClick={() => onOpen(result)}
        aria-label={label}
        w="100%"
        h="100%"
        className="checkered"
        style={{ borderRadius: "var(--mantine-radius-md)", overflow: "hidden" }}
      >
        {isPicture ? (
          <img
            src={artifactUrl(artifact.id)}
            alt=""
            loading="lazy"
            decoding="async"
            style={{ width: "100%", height: "100%", objectFit: "cover", display: "block" }}
          />
        ) : (
          <Center h="100%" p="sm">
            <Text size="sm">{artifact.type}</Text>
          </Center>
        )}
      </UnstyledButton>
      <ActionIcon
        pos="absolute"
        top={6}
        right={6}
        size="sm"
        variant="transparent"
        color={isLiked ? "red" : "gray.0"}
        aria-label={isLiked ? "No favourite" : "Favourite"}
        onClick={() => onLike(artifact.id)}
        style={{ filter: "drop-shadow(0 0 2px rgb(0 0 0 / 60%))" }}
      >
        {isLiked ? <IconHeartFilled size={16} /> : <IconHeart size={16} />}
      </ActionIcon>
    </Box>
  );
}
