// @ts-check
/**
 * Jobs of other tabs: the tab that follows a task tells the others what becomes of it.
 */

import * as history from "./history.js";
import * as jobs from "./jobs.js";
import { heard, tell } from "./tabs.js";

jobs.changed.on((job) => {
  if (!job?.isHere || !job.taskId) return;
  const { id, taskId, state, progress, error, imageId } = job;
  tell({ what: "job", id, taskId, state, progress, error, imageId });
});

heard.on((message) => {
  if (message.what === "job") follow(message);
  else if (message.what === "image") history.adopt(message.id);
  else if (message.what === "gone") history.forget(message.ids);
});

async function follow({ id, taskId, state, progress, error, imageId }) {
  const mine = () => jobs.batches.flatMap((batch) => batch.jobs).find((job) => job.id === id);
  const isOver = state === "succeeded" || state === "failed" || state === "cancelled";
  if (!mine() && !isOver) await jobs.resume();
  const job = mine();
  if (!job || job.isHere || job.isOver) return;
  if (state === "succeeded") await history.adopt(imageId);
  job.taskId ??= taskId;
  job.progress = progress;
  job.to(state, { error, imageId });
}
