// What a handler throws reaches the caller as HandlerError, with the stack in the lines of this file.
class OutOfStock extends Error {
  override readonly name = "OutOfStock";
}

interface Order {
  readonly item: string;
}

function reserve(order: Order): never {
  throw new OutOfStock(`there is no ${order.item} left`);
}

export const handler = async (order: Order): Promise<void> => reserve(order);
