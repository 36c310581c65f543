/** Whether bytes are UTF-8: a check in native code, for layers that import nothing of Node. */
export { isUtf8 } from "node:buffer";
