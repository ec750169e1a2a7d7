// What stays in the browser: conversations and choices. Nothing of it is sent anywhere but to the model that is asked.

const CONVERSATION = "etymon.conversation.";
const KEY = "etymon.key";

/** A browser may forbid to keep anything; then it lasts as long as the page. */
function storage(name) {
  try {
    window[name].getItem("");
    return window[name];
  } catch {
    const values = new Map();
    return {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => values.set(key, value),
      removeItem: (key) => values.delete(key),
      key: (row) => [...values.keys()][row] ?? null,
      get length() { return values.size; },
    };
  }
}
const lasting = storage("localStorage");
const ofTab = storage("sessionStorage");

export const choice = (name) => lasting.getItem(`etymon.${name}`) ?? "";
export function choose(name, value) {
  try {
    lasting.setItem(`etymon.${name}`, value);
  } catch {
    return; // there is no room: the choice lasts as long as the page
  }
}

export const key = () => ofTab.getItem(KEY) ?? lasting.getItem(KEY) ?? "";
export const remembered = () => lasting.getItem(KEY) !== null;
export function keepKey(secret, remember) {
  lasting.removeItem(KEY);
  ofTab.removeItem(KEY);
  if (secret) {
    (remember ? lasting : ofTab).setItem(KEY, secret);
  }
}

/** By id. What cannot be read is left where it is. */
export function conversations() {
  const found = new Map();
  for (let row = 0; row < lasting.length; row += 1) {
    const name = lasting.key(row);
    if (name.startsWith(CONVERSATION)) {
      try {
        const each = JSON.parse(lasting.getItem(name));
        if (Array.isArray(each.messages)) {
          found.set(each.id, each);
        }
      } catch {
        continue;
      }
    }
  }
  return found;
}

/** Raises where the browser has no more room. */
export const keep = (conversation) => lasting.setItem(CONVERSATION + conversation.id, JSON.stringify(conversation));
export const forget = (conversation) => lasting.removeItem(CONVERSATION + conversation.id);
export const isConversation = (name) => name === null || name.startsWith(CONVERSATION);
