# Ruby's fluent-logger: agent_ruby.rb HOST PORT TAG COUNT MODE [CA CERTIFICATE KEY]. PORT 0: HOST is the path of a Unix
# socket. MODE holds "nanoseconds" (EventTime). With certificates the logger speaks TLS.
require "fluent-logger"

host, port, tag, count, mode, ca, certificate, key = ARGV
options = port == "0" ? { socket_path: host } : { host: host, port: port.to_i }
options[:nanosecond_precision] = mode.include?("nanoseconds")
options[:tls_options] = { ca: ca, cert: certificate, key: key } if ca
logger = Fluent::Logger::FluentLogger.new(nil, **options)
count.to_i.times do |number|
  logger.post(tag, { "n" => number }) or abort "event #{number}: #{logger.last_error}"
end
logger.close
