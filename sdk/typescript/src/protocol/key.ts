/** Step keys: paths of names. `/`, `#` and `%` in a name are escaped, so a path splits one way. */

const SPECIAL = /[%/#]/;

function escaped(name: string): string {
  return SPECIAL.test(name)
    ? name.replaceAll("%", "%25").replaceAll("/", "%2F").replaceAll("#", "%23")
    : name;
}

/** The key of the `nth` use (from 1) of `name` in a scope. */
export function childKey(scope: string, name: string, nth: number): string {
  const path = scope === "" ? escaped(name) : `${scope}/${escaped(name)}`;
  return nth > 1 ? `${path}#${nth}` : path;
}

/** True if `key` is `scope` or lies under it. */
export function isWithin(key: string, scope: string): boolean {
  return scope === "" || key === scope || key.startsWith(`${scope}/`);
}
