"use strict";
/**
 * Collects what large bodies left behind. V8 goes by the memory of the machine when it decides how long garbage may lie;
 * in a container of 64 MB a few bodies of 4 MB would be the end before it looks.
 */
const v8 = require("node:v8");
const vm = require("node:vm");

const MIB = 1_048_576;
/** The part of a container's memory that bodies may fill with garbage. */
const SHARE = 1 / 8;

let allowed = Number.POSITIVE_INFINITY;
let left = 0;
let collect;

/** To be told once, with the container's amount. */
function bound(memoryMb) {
  if (memoryMb > 0) allowed = memoryMb * MIB * SHARE;
}

/** A call is over, and has moved so many bytes. */
function moved(bytes) {
  left += bytes;
  if (left < allowed) return;
  left = 0;
  collect ??= collector();
  collect();
}

function collector() {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  // Contexts that the function makes have none.
  v8.setFlagsFromString("--no-expose-gc");
  return gc;
}

module.exports = { bound, moved };
