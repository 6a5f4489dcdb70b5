// @ts-check
// Before the first paint: the language and the colours, so that neither jumps. And the service worker, which serves the
// page where there is no network.
{
  const root = document.documentElement;
  const kept = (name) => {
    try {
      return localStorage.getItem(`z-image.${name}`)?.replaceAll('"', "") ?? null;
    } catch {
      return null;
    }
  };
  const wanted =
    kept("language") ?? (navigator.languages ?? [navigator.language]).find((one) => /^(zh|en)\b/i.test(one)) ?? "en";
  root.lang = /^zh/i.test(wanted) ? "zh-CN" : "en";
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  // The page's policy allows one maker of script addresses, once. It is this one, which knows one address.
  /** @type {{createScriptURL: (address: string) => string}|undefined} */
  const maker = /** @type {any} */ (window).trustedTypes?.createPolicy("service-worker", {
    createScriptURL: () => "/sw.js",
  });
  addEventListener("load", () => {
    navigator.serviceWorker?.register(maker ? maker.createScriptURL("") : "/sw.js").catch(() => {});
  });
}
