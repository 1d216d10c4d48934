# An output that appends each event to the file `path`, as MessagePack [tag, time, record], before Fluentd can ack it.
require "fluent/plugin/output"

module Fluent::Plugin
  class StoreOutput < Output
    Fluent::Plugin.register_output("store", self)

    config_param :path, :string

    def start
      super
      @file = File.open(@path, "ab")
      @file.sync = true
    end

    def process(tag, es)
      packer = Fluent::MessagePackFactory.msgpack_packer
      es.each { |time, record| packer.write([tag, time, record]) }
      @file.write(packer.full_pack)
    end
  end
end
