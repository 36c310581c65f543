// TypeScript needs no build step: types are stripped at deploy. They are not checked there; your editor and `tsc` do that.
interface Order {
  readonly items: readonly { readonly price: number; readonly count: number }[];
}

export const handler = async (order: Order): Promise<{ total: number }> => {
  const total = order.items.reduce((sum, { price, count }) => sum + price * count, 0);
  return { total };
};
