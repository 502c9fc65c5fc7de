"""Scripts that tests run in the viewer's page, to see or to do what Playwright has no word for."""

from __future__ import annotations

READ_NUMBERS = """({size: [height, width], bits, block}) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d', {willReadFrequently: true});
    const numberOf = video => {
        context.drawImage(video, 0, 0);
        let number = 0;
        for (let bit = 0; bit < bits; bit++) {
            const [red] = context.getImageData((bit + 0.5) * block, height * 0.75, 1, 1).data;
            number += (red > 128) << bit;
        }
        return number;
    };
    const numbers = [...document.querySelectorAll('video.front')].map(numberOf);
    return {numbers, told: Object.values(window.spoton.cameras).map(each => each?.frame ?? null)};
}"""
"""The numbers in the pictures that all cameras show at one moment, and what the viewer says that they show."""
PLAY_AT = """async ({rate, seconds}) => {
    const speed = document.querySelector('[aria-label=Speed]');
    speed.value = String(rate);
    speed.dispatchEvent(new Event('change'));
    document.querySelector('.transport .play').click();
    const found = [];
    const end = performance.now() + 1000 * seconds;
    for (let now = window.spoton; performance.now() < end && now.playing; now = window.spoton) {
        const videos = [...document.querySelectorAll('video.front')];
        const frames = Object.values(now.cameras).map(each => each.frame);
        found.push({at: performance.now() / 1000, position: now.position, waiting: now.waiting !== null,
                    times: videos.map(video => video.currentTime), frames});
        await new Promise(requestAnimationFrame);
    }
    window.spoton.pause();
    return found;
}"""
"""Plays for some seconds at a speed; what every step of the screen showed."""
DISC = """colour => {
    const canvas = document.querySelector('canvas.map');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const scale = canvas.clientWidth / canvas.width;
    let [x, y, count] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
        if (colour.some((value, channel) => data[at + channel] !== value)) continue;
        [x, y, count] = [x + at / 4 % canvas.width, y + Math.floor(at / 4 / canvas.width), count + 1];
    }
    return {x: x / count * scale, y: y / count * scale};
}"""
"""Where on the map something of a colour is, in px of the page from the map's corner."""
DROP = """async ({name, kind}) => {
    const bytes = [];
    if (name.startsWith('huge')) {
        const canvas = new OffscreenCanvas(2400, 2400);
        const context = canvas.getContext('2d');
        const pixels = context.createImageData(2400, 2400);
        for (let at = 0; at < pixels.data.length; at++) pixels.data[at] = at % 4 === 3 ? 255 : Math.random() * 255;
        context.putImageData(pixels, 0, 0);
        bytes.push(await canvas.convertToBlob({type: kind}));
    }
    const data = new DataTransfer();
    data.items.add(new File(bytes, name, {type: kind}));
    document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
"""Drops a file on the page: what is huge has 17 MB, everything else is empty."""
FAINT = """() => {
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const parse = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
            if (alpha > 0.5) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility({opacityProperty: true}) || element.disabled) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) found.push(`${element.className || element.tagName}: ${contrast.toFixed(2)}`);
    }
    return found;
}"""
"""Text whose contrast to its ground is less than WCAG's 4.5 to 1."""
CUT_RINGS = """() => {
    const found = [];
    for (const element of document.querySelectorAll('a, button, select, [tabindex]')) {
        if (!element.checkVisibility() || element.disabled) continue;
        element.focus({focusVisible: true});
        const style = getComputedStyle(element);
        const reach = parseFloat(style.outlineOffset) + parseFloat(style.outlineWidth);
        const name = element.getAttribute('aria-label') ?? element.textContent;
        if (style.outlineStyle !== 'solid') found.push(`${name}: ${style.outlineStyle}`);
        const inner = element.getBoundingClientRect();
        for (let at = element.parentElement; at; at = at.parentElement) {
            const {overflowX, overflowY} = getComputedStyle(at);
            if (overflowX === 'visible' && overflowY === 'visible') continue;
            const {left, right, top, bottom} = at.getBoundingClientRect();
            const over = [left - inner.left, inner.right - right, top - inner.top, inner.bottom - bottom];
            if (Math.max(...over) + reach > 0.5) found.push(`${name} in ${at.className}`);
        }
    }
    document.activeElement.blur();
    scrollTo(0, 0);
    return found;
}"""
"""What shows no ring when it has the keyboard's focus, or only a part of it."""
