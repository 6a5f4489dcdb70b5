// @ts-check
// Before the first paint: the language and the colours, so that neither jumps.
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
}
