/* The colours of gnref/teaching/palette.py, which the tests compare. */

export const PALETTE = {
  light: { background: "#FFFFFF", ink: "#1F2328", muted: "#59636E", tints: [0.13, 0.3],
    batch: "#0057B8", layer: "#C96A00", instance: "#2FA084", group: "#8A1A5C" },
  dark: { background: "#0D1117", ink: "#E6EDF3", muted: "#9198A1", tints: [0.17, 0.33],
    batch: "#4C9BFF", layer: "#F2A900", instance: "#8FE6C4", group: "#E0559A" },
};
const bytes = (colour) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
const hex = (v) => Math.round(v).toString(16).padStart(2, "0");
export const mix = (a, b, share) => "#" + bytes(a).map((x, k) => hex(x + share * (bytes(b)[k] - x))).join("");
const luminance = (colour) => bytes(colour).reduce((sum, v, k) => {
  const x = v / 255;
  return sum + [0.2126, 0.7152, 0.0722][k] * (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
}, 0);
// Black and white are read equally well where (L + 0.05)**2 = 0.05 * 1.05.
export const inkOn = (colour) => (luminance(colour) > 0.179 ? "#000000" : "#FFFFFF");
