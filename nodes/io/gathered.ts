/**
 * Bytes that come in pieces of any size, kept in about as much memory as they are: a million pieces of one byte would each be an
 * object of a hundred.
 */

/** A piece below this is copied; each other stays as it came. */
const SMALL = 4_096;
const BLOCK = 65_536;

const NOTHING = new Uint8Array(0);

export class Gathered {
  #pieces: Uint8Array[] = [];
  #block = NOTHING;
  /** Of the block: what is full, and where what has no piece yet begins. */
  #used = 0;
  #from = 0;
  /** Bytes in all. */
  size = 0;

  /** The piece must not change afterwards. */
  add(piece: Uint8Array): void {
    // One that stays the only one is given back as it is.
    const isAlone = this.size === 0;
    this.size += piece.length;
    if (isAlone || piece.length >= SMALL) {
      this.#close();
      this.#pieces.push(piece);
      return;
    }
    if (this.#used + piece.length > this.#block.length) {
      this.#close();
      this.#block = new Uint8Array(BLOCK);
      this.#used = 0;
      this.#from = 0;
    }
    this.#block.set(piece, this.#used);
    this.#used += piece.length;
  }

  /** All of it in one piece: a copy, unless it came in one. Legal once. */
  whole(): Uint8Array {
    this.#close();
    return this.#pieces.length === 1 ? (this.#pieces[0] ?? NOTHING) : Buffer.concat(this.#pieces, this.size);
  }

  #close(): void {
    if (this.#used > this.#from) this.#pieces.push(this.#block.subarray(this.#from, this.#used));
    this.#from = this.#used;
  }
}
