// Which suggestions stand below a field that takes any text. It draws nothing.

import type { OptionsFilter } from "@mantine/core";

/** Offer all of them where one is chosen, so that another can be picked; else those that hold what was typed. */
export const suggested: OptionsFilter = ({ options, search, limit }) => {
  const typed = search.trim().toLowerCase();
  const isChosen = options.some((one) => "value" in one && one.value === search);
  const fitting = options.filter(
    (one) => isChosen || ("label" in one && one.label.toLowerCase().includes(typed)),
  );
  return fitting.slice(0, limit);
};
