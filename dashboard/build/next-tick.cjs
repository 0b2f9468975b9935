// Stands in for 'process-nextick-args': there is no `process` in a browser.
exports.nextTick = (call, ...values) => queueMicrotask(() => call(...values))
