// As much of React as useRoom takes: one component at a time, whose hooks keep
// their places, and whose effects run after it was rendered.

let current;

const same = (a, b) => a && b && a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
const slot = () => current.slots[current.at++] ??= {};

export function useCallback(callback, deps) {
  const mine = slot();
  if (!same(mine.deps, deps)) Object.assign(mine, { deps, callback });
  return mine.callback;
}

export function useEffect(effect, deps) {
  const mine = slot();
  if (same(mine.deps, deps)) return;
  mine.deps = deps;
  current.effects.push({ mine, effect });
}

export function useSyncExternalStore(subscribe, getSnapshot) {
  const [component, value] = [current, getSnapshot()];
  if (!Object.is(value, getSnapshot())) throw new Error("the snapshot differs though nothing has changed: React would loop");
  useEffect(() => {
    const check = () => { if (!Object.is(component.value, getSnapshot())) component.render(); };
    const unsubscribe = subscribe(check);
    check();
    return unsubscribe;
  }, [subscribe]);
  component.value = value;
  return value;
}

/** Mounts a component that is a hook's call: what it returned last is in seen. */
export function mount(hook) {
  const component = {
    slots: [], effects: [], seen: undefined,
    render(changed = hook) {
      hook = changed;
      [current, component.at] = [component, 0];
      component.seen = hook();
      current = undefined;
      for (const { mine, effect } of component.effects.splice(0)) {
        mine.undo?.();
        mine.effect = effect;
        mine.undo = effect();
      }
    },
    unmount() { for (const mine of component.slots) { mine.undo?.(); mine.undo = undefined; } },
    /** What StrictMode does: undoes the effects, and does them again. */
    strict() {
      component.unmount();
      for (const mine of component.slots) if (mine.effect) mine.undo = mine.effect();
    },
  };
  component.render();
  return component;
}
