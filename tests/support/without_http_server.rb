# `ruby -r`: Fluentd without its HTTP server, whose gems need a newer Ruby than Debian 12 has. No plugin of the tests uses it.
lib = $LOAD_PATH.find { |path| File.exist?("#{path}/fluent/version.rb") }
$LOADED_FEATURES << "#{lib}/fluent/plugin_helper/http_server/server.rb"
