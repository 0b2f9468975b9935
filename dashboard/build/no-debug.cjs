// Stands in for the package 'debug', which mqtt-packet loads for its own logs.
module.exports = () => () => {}
