/** The version of the package, for micro services and `pilot version`; a test compares it with package.json. */
export const VERSION = "0.1.0";
