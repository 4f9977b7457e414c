// Draws the charts from the options that the page holds as data, and keeps the live line up to date.
(function () {
  "use strict";
  const NARROW = 520; // pixels
  const LETTER = 6.5; // pixels, the mean
  const LIVE_SECONDS = 15;
  const charts = new Map();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

  function full(unit, value) {
    if (value === null || value === undefined) return "–";
    if (unit === "share") return percent.format(value);
    if (unit === "count") return plain.format(value);
    return cents.format(value);
  }

  function onAxis(unit, value) {
    if (unit === "share") return percent.format(value);
    return Math.abs(value) >= 1000 ? short.format(value) : String(+value.toFixed(2));
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    return {
      text: get("--text"),
      muted: get("--muted"),
      line: get("--line"),
      surface: get("--surface"),
      font: getComputedStyle(document.body).fontFamily, // text is measured in it: "inherit" would be measured wrong
      series: [get("--c1"), get("--c2"), get("--c3"), get("--c4")],
    };
  }

  function shortened(text, width, lines) {
    const most = Math.floor(width / LETTER) * lines - 4 * lines; // each line ends at a word
    return text.length > most ? text.slice(0, most - 1) + "…" : text;
  }

  function axis(one, theme, width) {
    const isValue = one.type === "value";
    const isLabelColumn = one.inverse === true;
    const label = { color: theme.muted, hideOverlap: true };
    if (isValue) label.formatter = (value) => onAxis(one.unit, value);
    if (isLabelColumn) {
      label.interval = 0;
      const room = Math.round(width * 0.36);
      if (one.data.some((text) => text.length * LETTER > room)) {
        const lines = { width: room, overflow: "break", lineHeight: 13, fontSize: 11 };
        Object.assign(label, lines, { formatter: (text) => shortened(text, room, width < NARROW ? 3 : 2) });
      }
    }
    return {
      ...one,
      axisLabel: label,
      splitNumber: width < NARROW ? 3 : 5,
      axisLine: { show: !isValue, lineStyle: { color: theme.line } },
      axisTick: { show: false },
      splitLine: { show: isValue, lineStyle: { color: theme.line } },
    };
  }

  function series(one, theme, index, count) {
    const isLine = one.type === "line";
    return {
      ...one,
      tooltip: { valueFormatter: (value) => full(one.unit, value) },
      barMaxWidth: 26,
      barGap: "10%",
      symbol: "circle",
      symbolSize: 5,
      lineStyle: isLine ? { width: 2 } : undefined,
      areaStyle: isLine && count === 1 ? { opacity: 0.08 } : undefined,
      itemStyle: { color: theme.series[index % theme.series.length] },
    };
  }

  function dressed(option, width) {
    const theme = colours();
    const all = option.series;
    return {
      animation: !still,
      animationDuration: 250,
      textStyle: { color: theme.text, fontFamily: theme.font },
      // Text that comes from data is drawn, never read as markup.
      tooltip: {
        trigger: "axis",
        renderMode: "richText",
        confine: true,
        backgroundColor: theme.surface,
        borderColor: theme.line,
        textStyle: { color: theme.text },
        axisPointer: { type: all.some((one) => one.type === "bar") ? "shadow" : "line" },
      },
      legend: {
        show: all.length > 1,
        top: 0,
        left: 0,
        itemWidth: 12,
        itemHeight: 8,
        itemGap: 14,
        textStyle: { color: theme.text },
      },
      grid: { top: all.length > 1 ? 34 : 12, left: 4, right: 16, bottom: 4, containLabel: true },
      xAxis: axis(option.xAxis, theme, width),
      yAxis: axis(option.yAxis, theme, width),
      series: all.map((one, index) => series(one, theme, index, all.length)),
    };
  }

  function draw(box) {
    const option = JSON.parse(document.getElementById(box.dataset.chart).textContent);
    let chart = charts.get(box);
    if (!chart) {
      chart = window.echarts.init(box, null, { renderer: "svg" });
      charts.set(box, chart);
      new ResizeObserver(() => {
        chart.resize();
        chart.setOption(dressed(option, box.clientWidth), true);
      }).observe(box);
    }
    chart.setOption(dressed(option, box.clientWidth), true);
  }

  function ago(seconds) {
    if (seconds < 120) return seconds + " s ago";
    if (seconds < 7200) return Math.floor(seconds / 60) + " min ago";
    if (seconds < 172800) return Math.floor(seconds / 3600) + " h ago";
    return Math.floor(seconds / 86400) + " days ago";
  }

  function showAge(place) {
    if (place.dataset.seconds === "") return;
    const passed = Math.round((Date.now() - Number(place.dataset.at)) / 1000);
    place.textContent = ago(Number(place.dataset.seconds) + passed);
  }

  function setAge(place, seconds) {
    place.dataset.seconds = seconds === null ? "" : String(seconds);
    place.dataset.at = String(Date.now());
    showAge(place);
  }

  async function refresh(line) {
    if (document.hidden) return;
    const answer = await fetch(line.dataset.address, { headers: { accept: "application/json" } }).catch(() => null);
    if (!answer || !answer.ok) return; // the age goes on, so a reader sees that nothing new came
    const live = await answer.json();
    const price = live.price_usd === null ? "no price yet" : cents.format(live.price_usd) + " USD";
    document.getElementById("live-price").textContent = price;
    setAge(document.getElementById("live-price-age"), live.price_age_seconds);
    setAge(document.getElementById("live-headline-age"), live.headline_age_seconds);
    document.getElementById("live-source").textContent =
      live.source === "warehouse" ? "from the warehouse" : "from the snapshot";
    line.classList.toggle("fresh", live.source === "warehouse");
  }

  function startLive() {
    const line = document.getElementById("live");
    if (!line) return;
    const ages = line.querySelectorAll(".age");
    for (const place of ages) {
      place.dataset.at = String(Date.now());
      showAge(place);
    }
    setInterval(() => ages.forEach(showAge), 1000);
    if (!line.dataset.address) return; // the report is of its moment
    refresh(line);
    setInterval(() => refresh(line), LIVE_SECONDS * 1000);
  }

  const boxes = document.querySelectorAll("[data-chart]");
  boxes.forEach(draw);
  document.addEventListener("theme", () => boxes.forEach(draw));
  window.addEventListener("beforeprint", () => charts.forEach((chart) => chart.resize()));
  startLive();
})();
