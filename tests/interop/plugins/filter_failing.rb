# A filter that fails for every event.
require "fluent/plugin/filter"

module Fluent::Plugin
  class FailingFilter < Filter
    Fluent::Plugin.register_filter("failing", self)

    def filter(_tag, _time, _record)
      raise "fails by design"
    end
  end
end
