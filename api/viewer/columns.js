/** Rows of numbers that grow, kept in typed arrays: hours of boxes fit into memory. */
export class Columns {
  constructor(type, width) {
    this.width = width;
    this.length = 0; // rows
    this.values = new type(16 * width);
  }

  push(...row) {
    const at = this.length * this.width;
    if (at + this.width > this.values.length) {
      const larger = new this.values.constructor(Math.max(2 * this.values.length, at + this.width));
      larger.set(this.values);
      this.values = larger;
    }
    for (let column = 0; column < this.width; column++) this.values[at + column] = row[column];
    this.length += 1;
  }

  /** Gives back the room that was kept for more. */
  trim() {
    if (this.length * this.width < this.values.length) this.values = this.values.slice(0, Math.max(1, this.length) * this.width);
  }

  get(row, column = 0) {
    return this.values[row * this.width + column];
  }

  row(row) {
    return Array.from(this.values.subarray(row * this.width, (row + 1) * this.width));
  }

  /** The first row whose first column is at least `value`, in a rising column; `length` when there is none. */
  lowerBound(value) {
    return this._first((found) => found >= value);
  }

  /** The first row whose first column is more than `value`, in a rising column; `length` when there is none. */
  upperBound(value) {
    return this._first((found) => found > value);
  }

  _first(isBeyond) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBeyond(this.get(middle))) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
